"""Whisper's forwards: what is said in the windows of a batch, decoded greedily."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from transformers import (
    GenerationMixin,
    LogitsProcessor,
    LogitsProcessorList,
    WhisperTimeStampLogitsProcessor,
)

from deployments.batching.decode_steps import DecodeSteps
from deployments.batching.greedy_decoding import stopping
from deployments.speech.whisper_tokens import WhisperTokens
from deployments.speech.windows import DecodedWindow, SpeechWindow


@dataclass(frozen=True, slots=True)
class WhisperDecoder:
    """Runs ``model`` on batches of windows that have equal options."""

    model: Any
    tokens: WhisperTokens
    device: str

    def __call__(self, batch: Sequence[SpeechWindow], steps: DecodeSteps) -> list[DecodedWindow]:
        with torch.inference_mode():
            features = torch.from_numpy(np.stack([window.features for window in batch]))
            encoded = self.model.get_encoder()(features.to(self.device, self.model.dtype))
            prompt, no_speech = self._decoder_prompt(batch, encoded)
            logprobs = _ChosenLogprobs(self.tokens.end)
            rows = self._generate(encoded, prompt, logprobs, steps)
        generated = rows[:, prompt.shape[1] :].tolist()
        means = logprobs.means()
        languages = prompt[:, -2].tolist() if self.tokens.languages else [None] * len(batch)
        return [
            DecodedWindow(self._until_the_end(row), language, prompt.shape[1], mean, silent)
            for row, language, mean, silent in zip(
                generated, languages, means, no_speech, strict=True
            )
        ]

    def _decoder_prompt(
        self, batch: Sequence[SpeechWindow], encoded: Any
    ) -> tuple[Any, list[float]]:
        """The decoder prompt of each window, and how likely nothing is said in it.

        Both are read from the first step behind the start token, as Whisper was trained.
        """
        tokens, options = self.tokens, batch[0].options
        before = [] if tokens.sot_prev is None else [tokens.sot_prev, *options.prompt]
        start = [*(before if options.prompt else []), tokens.start]
        prompt = torch.tensor([start] * len(batch), device=self.device)
        decoded = self.model(encoder_outputs=encoded, decoder_input_ids=prompt, use_cache=False)
        logits = decoded.logits[:, -1].float()
        no_speech = logits.softmax(-1)[:, tokens.no_speech].tolist()
        if tokens.languages:
            known = torch.tensor(sorted(tokens.languages.values()), device=self.device)
            found = known[logits[:, known].argmax(-1)].tolist()
            task = tokens.tasks["translate" if options.translate else "transcribe"]
            ends = [
                [window.language if window.language is not None else likely, task]
                for window, likely in zip(batch, found, strict=True)
            ]
            prompt = torch.cat([prompt, torch.tensor(ends, device=self.device)], dim=1)
        return prompt, no_speech

    def _generate(
        self, encoded: Any, prompt: Any, logprobs: _ChosenLogprobs, steps: DecodeSteps
    ) -> Any:
        """Rows of tokens that begin with ``prompt``.

        transformers' own ``generate`` for Whisper loops over windows by itself; this is the one
        below it.
        """
        config = deepcopy(self.model.generation_config)
        positions = self.model.config.max_target_positions
        config.update(
            do_sample=False,
            num_beams=1,
            max_length=None,
            min_length=None,
            forced_decoder_ids=None,
            return_dict_in_generate=False,
            max_new_tokens=min(positions - prompt.shape[1], positions // 2),
        )
        timestamps = WhisperTimeStampLogitsProcessor(config, begin_index=prompt.shape[1])
        return GenerationMixin.generate(
            self.model,
            encoder_outputs=encoded,
            decoder_input_ids=prompt,
            attention_mask=torch.ones(encoded[0].shape[:2], device=self.device),  # no padding
            generation_config=config,
            logits_processor=LogitsProcessorList([timestamps, logprobs]),
            stopping_criteria=stopping(steps),
        )

    def _until_the_end(self, row: list[int]) -> tuple[int, ...]:
        end = row.index(self.tokens.end) if self.tokens.end in row else len(row)
        return tuple(row[:end])


class _ChosenLogprobs(LogitsProcessor):
    """Adds up the log-probabilities of the tokens that greedy decoding chooses."""

    def __init__(self, end: int) -> None:
        self._end = end
        self._steps = 0
        self._sums: Any = 0.0
        self._counts: Any = 0
        self._running: Any = True

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        if self._steps:  # before that the last token is one of the prompt
            self._running = self._running & (input_ids[:, -1] != self._end)
        self._steps += 1
        best = scores.float().log_softmax(-1).amax(-1)
        self._sums = self._sums + best * self._running
        self._counts = self._counts + torch.ones_like(best) * self._running
        return scores

    def means(self) -> list[float]:
        means: list[float] = (self._sums / self._counts.clamp(min=1)).tolist()
        return means
