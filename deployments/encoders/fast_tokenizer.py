"""A fast tokenizer of transformers that works without transformers, whose import loads torch.

It wraps the Rust ``tokenizers`` library and is called as transformers' own fast tokenizers are, so
that the families can use either.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from tokenizers import Encoding, Tokenizer

from deployments.encoders.padding import Padding

TOKENIZER_FILE = "tokenizer.json"
SETTINGS_FILE = "tokenizer_habits.json"

Strategy = Literal["longest_first", "only_first", "only_second"]


@dataclass(frozen=True, slots=True)
class TokenizerSettings:
    """The settings of a tokenizer that are not in its ``tokenizer.json``.

    ``features`` names the model's inputs. With ``splits_special_tokens`` a special token that a
    text spells out is split into ordinary tokens. ``mask_token`` is the one that stands for a word.
    """

    features: tuple[str, ...]
    truncation_side: Literal["left", "right"]
    splits_special_tokens: bool
    padding: Padding
    mask_token: str | None = None


class Encoded(dict[str, list[Any]]):
    """Features by name, with a list for each row, and the word and the side of each token."""

    def __init__(self, features: dict[str, list[Any]], rows: Sequence[Encoding]) -> None:
        super().__init__(features)
        self._rows = rows

    def word_ids(self, row: int = 0) -> list[int | None]:
        return self._rows[row].word_ids

    def sequence_ids(self, row: int = 0) -> list[int | None]:
        return self._rows[row].sequence_ids


class FastTokenizer:
    """A tokenizer that :meth:`save` wrote. Not thread-safe: truncation is part of its state."""

    is_fast = True

    def __init__(self, tokenizer: Tokenizer, settings: TokenizerSettings) -> None:
        tokenizer.no_padding()
        tokenizer.no_truncation()
        tokenizer.encode_special_tokens = settings.splits_special_tokens
        self._tokenizer = tokenizer
        self._settings = settings

    @classmethod
    def save(cls, tokenizer: Any, folder: Path) -> None:
        """Write a fast tokenizer of transformers, with all that transformers changed in it."""
        settings = TokenizerSettings(
            features=tuple(tokenizer.model_input_names),
            truncation_side=tokenizer.truncation_side,
            splits_special_tokens=bool(tokenizer.split_special_tokens),
            padding=Padding.of(tokenizer),
            mask_token=tokenizer.mask_token,
        )
        tokenizer.backend_tokenizer.save(str(folder / TOKENIZER_FILE))
        text = json.dumps(asdict(settings), indent=2)
        (folder / SETTINGS_FILE).write_text(f"{text}\n", encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> FastTokenizer:
        stored = json.loads((folder / SETTINGS_FILE).read_text(encoding="utf-8"))
        stored |= {"features": tuple(stored["features"]), "padding": Padding(**stored["padding"])}
        return cls(Tokenizer.from_file(str(folder / TOKENIZER_FILE)), TokenizerSettings(**stored))

    @property
    def padding(self) -> Padding:
        return self._settings.padding

    @property
    def mask_token(self) -> str | None:
        return self._settings.mask_token

    @property
    def backend_tokenizer(self) -> Tokenizer:
        """The tokenizer of the library ``tokenizers``, as transformers' fast tokenizers have it."""
        return self._tokenizer

    def __call__(
        self,
        texts: Sequence[str],
        pairs: Sequence[str] | None = None,
        *,
        truncation: bool | Strategy = False,
        max_length: int | None = None,
        stride: int = 0,
        add_special_tokens: bool = True,
        return_overflowing_tokens: bool = False,
        return_offsets_mapping: bool = False,
        verbose: bool = True,
    ) -> Encoded:
        """As transformers' own tokenizers; ``verbose`` has no effect."""
        self._truncate(truncation, max_length, stride)
        batch = list(texts) if pairs is None else list(zip(texts, pairs, strict=True))
        encodings = self._tokenizer.encode_batch(batch, add_special_tokens=add_special_tokens)
        rows, samples = encodings, list(range(len(encodings)))
        if return_overflowing_tokens:
            with_overflow = [[encoding, *encoding.overflowing] for encoding in encodings]
            rows = [row for of_text in with_overflow for row in of_text]
            samples = [sample for sample, of_text in enumerate(with_overflow) for _ in of_text]
        features = self._features(rows)
        if return_offsets_mapping:
            features["offset_mapping"] = [row.offsets for row in rows]
        if return_overflowing_tokens:
            features["overflow_to_sample_mapping"] = samples
        return Encoded(features, rows)

    def num_special_tokens_to_add(self, pair: bool = False) -> int:
        return int(self._tokenizer.num_special_tokens_to_add(pair))

    def _truncate(self, strategy: bool | Strategy, max_length: int | None, stride: int) -> None:
        if strategy is False or max_length is None:
            self._tokenizer.no_truncation()
            return
        self._tokenizer.enable_truncation(
            max_length,
            stride=stride,
            strategy="longest_first" if strategy is True else strategy,
            direction=self._settings.truncation_side,
        )

    def _features(self, rows: Sequence[Encoding]) -> dict[str, list[Any]]:
        features: dict[str, list[Any]] = {"input_ids": [row.ids for row in rows]}
        if "token_type_ids" in self._settings.features:
            features["token_type_ids"] = [row.type_ids for row in rows]
        if "attention_mask" in self._settings.features:
            features["attention_mask"] = [row.attention_mask for row in rows]
        return features
