"""What the decoder says of its text agrees with one plain forward over that text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    AutoTokenizer,
    WhisperForConditionalGeneration,
    WhisperTimeStampLogitsProcessor,
)

from deployments.batching.decode_steps import DecodeSteps
from deployments.speech.whisper_decoder import WhisperDecoder
from deployments.speech.whisper_tokens import WhisperTokens
from deployments.speech.windows import SpeechWindow, WindowOptions
from tests.deployments.speech.tiny_whisper import LANGUAGES, POSITIONS, WINDOW_S, tiny_whisper


class Wanted:
    """A row whose caller waits."""

    def is_wanted(self, now: float) -> bool:
        return True


@pytest.mark.parametrize("languages", [LANGUAGES, ()])
@pytest.mark.parametrize("prompt", [(), (3, 4)])
def test_probabilities_are_those_of_a_plain_forward(
    tmp_path: Path, languages: tuple[str, ...], prompt: tuple[int, ...]
) -> None:
    folder = tiny_whisper(tmp_path / "tiny", languages)
    model: Any = WhisperForConditionalGeneration.from_pretrained(folder)
    config = model.generation_config
    config.max_length = None
    tokens = WhisperTokens.of(config, AutoTokenizer.from_pretrained(folder))
    shape = (4, model.config.num_mel_bins, 100 * WINDOW_S)
    features = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    options = WindowOptions(prompt=prompt)
    windows = [SpeechWindow(each, WINDOW_S, options) for each in features]
    decoder = WhisperDecoder(model, tokens, "cpu")
    steps = DecodeSteps([Wanted() for _ in windows], lambda: 0.0)
    word = next(token for token in decoder(windows, steps)[0].tokens[4:] if token < tokens.end)
    with torch.no_grad():  # windows end where they had this word
        weight = model.get_output_embeddings().weight
        weight[tokens.end] = 1.05 * weight[word]
    decoded = decoder(windows, steps)
    assert len({len(each.tokens) for each in decoded}) > 1
    for window, each in zip(windows, decoded, strict=True):
        before = [tokens.sot_prev, *prompt] if prompt else []
        after = [each.language, tokens.tasks["transcribe"]] if languages else []
        start = [*before, tokens.start, *after]
        assert each.prompt_tokens == len(start)
        ended = [] if len(each.tokens) == POSITIONS // 2 else [tokens.end]
        row = torch.tensor([[*start, *each.tokens, *ended]])
        with torch.inference_mode():
            logits = model(torch.from_numpy(window.features)[None], decoder_input_ids=row).logits[0]
        no_speech = logits[len(before)].softmax(-1)[tokens.no_speech].item()
        assert each.no_speech == pytest.approx(no_speech, abs=1e-5)
        times = WhisperTimeStampLogitsProcessor(config, begin_index=len(start))
        chosen = [
            times(row[:, :at], logits[None, at - 1]).log_softmax(-1)[0, row[0, at]].item()
            for at in range(len(start), row.shape[1])
        ]
        assert each.avg_logprob == pytest.approx(np.mean(chosen), abs=1e-4)
