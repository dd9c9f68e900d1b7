"""Windows become segments; those in which nothing is said have none, and decide nothing."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from transformers import AutoTokenizer, GenerationConfig

from deployments.speech.transcript import Transcript
from deployments.speech.whisper_tokens import WhisperTokens
from deployments.speech.windows import DecodedWindow, SpeechWindow, WindowOptions
from tests.deployments.speech.tiny_whisper import tiny_whisper

WINDOW = SpeechWindow(np.zeros((1, 1), np.float32), 3.0, WindowOptions())
SPEECH, SILENCE = (-0.5, 0.1), (-1.1, 0.7)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder: Path = tiny_whisper(tmp_path_factory.mktemp("whisper") / "many")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokens = WhisperTokens.of(GenerationConfig.from_pretrained(folder), tokenizer)
    return SimpleNamespace(tokenizer=tokenizer, tokens=tokens)


def decoded(tiny: Any, language: str, avg_logprob: float, no_speech: float) -> DecodedWindow:
    return DecodedWindow((1, 2), tiny.tokens.languages[language], 3, avg_logprob, no_speech)


@pytest.mark.parametrize(
    ("avg_logprob", "no_speech", "said"),
    [(*SPEECH, True), (*SILENCE, False), (-0.9, 0.7, True), (-1.1, 0.5, True)],
)
def test_a_window_is_silent_if_speech_and_its_text_are_unlikely(
    tiny: Any, avg_logprob: float, no_speech: float, said: bool
) -> None:
    transcript = Transcript(tiny.tokenizer, tiny.tokens)
    assert transcript.add(WINDOW, 0.0, decoded(tiny, "de", avg_logprob, no_speech)) == 3.0
    result = transcript.result(3.0)
    assert result.text.split() == (["w1", "w2"] if said else [])
    assert (result.prompt_tokens, result.completion_tokens, result.language) == (3, 2, "de")


def test_the_language_is_that_of_the_first_window_in_which_something_is_said(tiny: Any) -> None:
    transcript = Transcript(tiny.tokenizer, tiny.tokens)
    transcript.add(WINDOW, 0.0, decoded(tiny, "fr", *SILENCE))
    assert transcript.language is None
    transcript.add(WINDOW, 3.0, decoded(tiny, "de", *SPEECH))
    assert transcript.language == tiny.tokens.languages["de"]
    transcript.add(WINDOW, 6.0, decoded(tiny, "fr", *SILENCE))
    assert transcript.result(9.0).language == "de"


def test_a_given_language_stays(tiny: Any) -> None:
    given = tiny.tokens.languages["en"]
    transcript = Transcript(tiny.tokenizer, tiny.tokens, given)
    transcript.add(WINDOW, 0.0, decoded(tiny, "en", *SILENCE))
    assert (transcript.language, transcript.result(3.0).language) == (given, "en")
