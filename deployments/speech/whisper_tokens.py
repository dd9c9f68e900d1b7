"""The special tokens of a Whisper model, as its own files name them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from deployments.seam.problems import Problem

SOT_PREV = "<|startofprev|>"
ENGLISH = "en"


@dataclass(frozen=True, slots=True)
class WhisperTokens:
    """Tokens by their meaning. ``languages`` is empty for a model that knows English only.

    ``tasks`` are ``transcribe`` and ``translate``; ``sot_prev`` begins the text before a window.
    """

    start: int
    end: int
    no_timestamps: int
    sot_prev: int | None
    languages: Mapping[str, int]
    tasks: Mapping[str, int]

    @classmethod
    def of(cls, config: Any, tokenizer: Any) -> WhisperTokens:
        """The tokens of a generation configuration.

        Raises ``ValueError`` if it has no ``no_timestamps_token_id``, as the oldest have none.
        """
        no_timestamps = getattr(config, "no_timestamps_token_id", None)
        if no_timestamps is None:
            raise ValueError("its generation_config.json has no no_timestamps_token_id")
        end = config.eos_token_id
        languages = getattr(config, "lang_to_id", None) or {}
        return cls(
            start=config.decoder_start_token_id,
            end=end[0] if isinstance(end, list) else end,
            no_timestamps=no_timestamps,
            sot_prev=tokenizer.get_vocab().get(SOT_PREV),
            languages={name.strip("<|>"): token for name, token in languages.items()},
            tasks=getattr(config, "task_to_id", None) or {},
        )

    @property
    def no_speech(self) -> int:
        """It stands before ``no_timestamps`` in every vocabulary of Whisper."""
        return self.no_timestamps - 1

    @property
    def timestamp_begin(self) -> int:
        """The timestamp token of 0.0 s."""
        return self.no_timestamps + 1

    def code_of(self, language: int | None) -> str:
        """The code of a language's token; ``None`` is the only one of an English model."""
        codes = {token: code for code, token in self.languages.items()}
        return ENGLISH if language is None else codes[language]

    def language(self, given: str | None) -> int | Problem | None:
        """The token of a language by its code or its name in English."""
        from transformers.models.whisper.tokenization_whisper import TO_LANGUAGE_CODE

        if given is None:
            return None
        code = TO_LANGUAGE_CODE.get(given.lower(), given.lower())
        if code in self.languages:
            return self.languages[code]
        if not self.languages and code == ENGLISH:
            return None
        known = ", ".join(sorted(self.languages)) or ENGLISH
        return Problem("validation", f"the model knows these languages: {known}", "language")
