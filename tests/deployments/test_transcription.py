"""Speech recognition: windows and batches of a tiny Whisper, and what a real one hears."""

from __future__ import annotations

import asyncio
import io
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from transformers import WhisperFeatureExtractor, WhisperForConditionalGeneration

from deployments.seam.problems import Problem
from deployments.seam.transcription import TranscriptionRequest, TranscriptionResult
from deployments.transcription import Transcription
from tests.deployments.conftest import Configured
from tests.deployments.families import family_of, started
from tests.deployments.forwards import PATIENCE_S
from tests.deployments.held_steps import STALL_S, HeldSteps, check_health_of_slow_steps
from tests.deployments.speech.recordings import (
    ASK_NOT,
    RATE,
    SAID,
    embedded_whisper,
    file_of,
    noise,
    tone,
    words,
)
from tests.deployments.speech.tiny_whisper import LANGUAGES, POSITIONS, WINDOW_S, tiny_whisper

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.usefixtures("in_replica")]


@pytest.fixture(scope="session")
def whisper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_whisper(tmp_path_factory.mktemp("whisper") / "many")


@pytest.fixture(scope="session")
def english(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_whisper(tmp_path_factory.mktemp("whisper") / "english", ())


async def heard(family: Transcription, audio: bytes, **more: Any) -> TranscriptionResult:
    async with asyncio.timeout(PATIENCE_S):
        answer = await family.transcribe(TranscriptionRequest("tiny", audio, **more))
    assert isinstance(answer, TranscriptionResult), answer
    return answer


async def refused(family: Transcription, **more: Any) -> Problem:
    answer = await family.transcribe(TranscriptionRequest("tiny", noise(1), **more))
    assert isinstance(answer, Problem)
    return answer


async def test_the_tokens_of_a_window_are_those_of_transformers(whisper: Path) -> None:
    family = Transcription(family_of(whisper, "transcribe"))
    model: Any = WhisperForConditionalGeneration.from_pretrained(whisper)
    extractor: Any = WhisperFeatureExtractor.from_pretrained(whisper)
    languages = model.generation_config.lang_to_id
    spoken = set()
    for audio in (noise(1, WINDOW_S), tone(300, WINDOW_S), tone(2000, WINDOW_S)):
        samples = soundfile.read(io.BytesIO(audio), dtype="float32")[0]
        heard_by = extractor(samples, sampling_rate=RATE, return_tensors="pt").input_features
        (row,) = model.generate(heard_by, return_timestamps=True, task="transcribe").tolist()
        found = await heard(family, audio)
        assert model.detect_language(heard_by).item() == languages[f"<|{found.language}|>"]
        spoken.add(found.language)
        first = [each.tokens for each in found.segments if each.seek == 0]
        assert first
        for tokens in first:
            assert tokens in {tuple(row[at : at + len(tokens)]) for at in range(len(row))}
    assert len(spoken) > 1


async def test_recordings_that_share_a_batch_are_answered_as_each_alone(
    configured: Configured, whisper: Path
) -> None:
    family = await started(
        Transcription(configured(whisper, {"batch_size": 8}, tasks=("transcribe",)))
    )
    recordings = [noise(1), *(tone(hertz, 2.0) for hertz in (200, 300, 900, 2000))]
    alone = [await heard(family, each) for each in recordings]
    together = await asyncio.gather(*(heard(family, each) for each in recordings))
    assert [each.text for each in together] == [each.text for each in alone]
    assert len({each.text for each in alone}) > 1
    for one, other in zip(alone, together, strict=True):
        assert [each.avg_logprob for each in one.segments] == pytest.approx(
            [each.avg_logprob for each in other.segments], abs=1e-3
        )


async def test_a_long_recording_is_read_window_by_window(english: Path) -> None:
    family = Transcription(family_of(english, "transcribe"))
    found = await heard(family, noise(3, 7.5))
    assert found.seconds == 7.5
    seeks = [each.seek for each in found.segments]
    assert seeks == sorted(seeks)
    assert seeks[-1] > WINDOW_S
    for each in found.segments:
        assert 0 <= each.seek <= each.start < each.end <= 7.5
    assert found.token_counts.prompt == found.prompt_tokens >= 3


async def test_a_language_is_given_by_its_code_or_its_name(whisper: Path) -> None:
    family = Transcription(family_of(whisper, "transcribe"))
    for given in ("de", "DE", "german"):
        assert (await heard(family, noise(1), language=given)).language == "de"
    problem = await refused(family, language="klingon")
    assert problem.field == "language"
    assert ", ".join(sorted(LANGUAGES)) in problem.message
    translated = await heard(family, noise(1), language="de", translate=True)
    assert translated.text != (await heard(family, noise(1), language="de")).text


async def test_the_first_window_decides_the_language_of_the_whole_recording(whisper: Path) -> None:
    family = Transcription(family_of(whisper, "transcribe"))
    first, rest = tone(300, WINDOW_S), noise(1, WINDOW_S)
    language = (await heard(family, first)).language
    assert language != (await heard(family, rest)).language
    samples = np.concatenate([soundfile.read(io.BytesIO(each))[0] for each in (first, rest, rest)])
    assert (await heard(family, file_of(samples))).language == language


async def test_a_model_of_one_language_knows_no_other(english: Path) -> None:
    family = Transcription(family_of(english, "transcribe"))
    assert (await heard(family, noise(1), language="English")).language == "en"
    assert (await refused(family, language="de")).field == "language"
    problem = await refused(family, translate=True)
    assert (problem.field, "English only" in problem.message) == ("model", True)


async def test_a_prompt_is_read_before_the_first_window_and_its_end_counts(english: Path) -> None:
    family = Transcription(family_of(english, "transcribe"))
    without = await heard(family, noise(1))
    prompted = await heard(family, noise(1), prompt="w1 w2")
    assert prompted.prompt_tokens == without.prompt_tokens + 3
    assert prompted.text != without.text
    assert (await heard(family, noise(1), prompt="<|endoftext|> w1 w2")) == prompted
    long = await heard(family, noise(1), prompt="w9 " * 500 + "w1 w2")
    assert long.prompt_tokens == without.prompt_tokens + POSITIONS // 2


async def test_silence_says_nothing(whisper: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deployments.speech.transcript.NO_SPEECH", -1.0)
    monkeypatch.setattr("deployments.speech.transcript.UNLIKELY", 1.0)
    found = await heard(Transcription(family_of(whisper, "transcribe")), noise(1, 4.0))
    assert (found.text, found.segments, found.seconds) == ("", (), 4.0)


async def test_a_recording_whose_caller_left_ends_at_its_next_token(
    whisper: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    family = await started(Transcription(family_of(whisper, "transcribe")))
    full = HeldSteps(monkeypatch, WhisperForConditionalGeneration)
    full.let_go()
    await heard(family, noise(1, 6.0))
    monkeypatch.undo()
    held = HeldSteps(monkeypatch, WhisperForConditionalGeneration)
    asking = asyncio.create_task(heard(family, noise(1, 6.0)))
    await held.cancel(asking, 3)
    other = await heard(family, noise(2))
    assert other.segments
    await family.check_health()
    taken = held.taken
    monkeypatch.undo()
    after = HeldSteps(monkeypatch, WhisperForConditionalGeneration)
    after.let_go()
    await heard(family, noise(2))
    assert taken - after.taken <= 3 < full.taken


async def test_a_recording_is_healthy_while_its_tokens_come(
    configured: Configured, whisper: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"stall_timeout_s": STALL_S}
    family = await started(Transcription(configured(whisper, settings, tasks=("transcribe",))))
    held = HeldSteps(monkeypatch, WhisperForConditionalGeneration)
    await check_health_of_slow_steps(family, held, heard(family, noise(1)))


async def test_files_of_all_requests_are_bounded_together(
    configured: Configured, whisper: Path
) -> None:
    audio = noise(1, 2.0)
    settings = {"max_waiting_bytes": len(audio) + 10}
    family = await started(Transcription(configured(whisper, settings, tasks=("transcribe",))))
    request = TranscriptionRequest("tiny", audio)
    first, second = await asyncio.gather(family.transcribe(request), family.transcribe(request))
    assert isinstance(first, TranscriptionResult)
    assert isinstance(second, Problem)
    assert second.kind == "overloaded"
    assert isinstance(await family.transcribe(request), TranscriptionResult)


async def test_a_bad_file_is_a_problem_of_its_own(whisper: Path) -> None:
    family = Transcription(family_of(whisper, "transcribe"))
    bad = TranscriptionRequest("tiny", file_of(np.array([np.nan] * 1600), subtype="FLOAT"))
    good = TranscriptionRequest("tiny", noise(1))
    problem, found = await asyncio.gather(family.transcribe(bad), family.transcribe(good))
    assert isinstance(problem, Problem)
    assert (problem.kind, problem.field) == ("validation", "audio")
    assert isinstance(found, TranscriptionResult)


async def test_a_real_recording_is_transcribed_at_any_length(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Three times over it is 33 s: the second window begins where a segment ended."""
    samples, rate = soundfile.read(ASK_NOT, dtype="float32")
    family = await started(Transcription(family_of(embedded_whisper(), "transcribe")))
    with caplog.at_level(logging.WARNING):
        found = await heard(family, file_of(np.tile(samples, 3), rate, "FLAC"))
    assert (found.language, found.seconds) == ("en", 33.0)
    assert words(found.text).startswith(SAID)
    assert words(found.text).count("what you can do for your country") == 3
    assert len({each.seek for each in found.segments}) == 2
    assert not caplog.records
