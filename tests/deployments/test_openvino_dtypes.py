"""The fastest dtype that is fit is chosen, in bounded time; only pipelines are replaced here."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from configs.weights.dtypes import DtypeFigures
from deployments.conversion import openvino_dtypes
from deployments.conversion.errors import ConversionError
from deployments.conversion.openvino_dtypes import compared, decoded, fastest, perplexity_of
from deployments.conversion.probe_texts import PROMPTS, TEXT
from deployments.engine.codec import TextCodec
from deployments.engine.openvino.genai_config import (
    KV_BLOCK_TOKENS,
    plugin_properties,
    weights_path,
)
from deployments.engine.openvino.messages import Launch, RunAdmission, StepCommand, StepResult
from tests.deployments.engine.conftest import smollm2


class Clock:
    """Stands still but for steps."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now


@dataclass
class Pipeline:
    """Gives every run a token a step, which takes ``step_s``.

    Of the prompts in ``changing`` the last tokens are others when they run alone.
    """

    clock: Clock
    step_s: float = 0.1
    perplexity: float = 20.0
    changing: frozenset[int] = frozenset()
    steps: int = 0
    _runs: dict[int, tuple[RunAdmission, int]] = field(default_factory=dict)

    def step(self, command: StepCommand) -> StepResult:
        self.steps += 1
        for run_id in command.cancels:
            self._runs.pop(run_id, None)
        for admission in command.admissions:
            self._runs[admission.run_id] = (admission, 0)
        if self._runs:
            self.clock.now += self.step_s
        result = StepResult()
        for run_id, (run, count) in list(self._runs.items()):
            if run.settings.get("echo"):
                logprob = -math.log(self.perplexity)
                echoed = [(token, logprob) for token in run.prompt_ids]
                result.tokens[run_id] = [(echoed[0][0], 1.0), *echoed[1:], (0, -1.0)]
                del self._runs[run_id]
                continue
            alone = len(self._runs) == 1 and run.prompt_ids[0] in self.changing and count >= 5
            result.tokens[run_id] = [(1000 + count + alone, 0.0)]
            self._runs[run_id] = (run, count + 1)
            if count + 1 == run.settings["max_new_tokens"]:
                del self._runs[run_id]
        return result


class Codec:
    """The n-th prompt begins with the token n."""

    def encode(self, text: str) -> list[int]:
        return [PROMPTS.index(text), 7, 7] if text in PROMPTS else list(range(100, 200))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr("deployments.conversion.openvino_dtypes.time", made)
    return made


def figures_of(float32: Pipeline, bfloat16: Pipeline) -> dict[str, DtypeFigures]:
    codec: Any = Codec()
    pipelines = {"float32": float32, "bfloat16": bfloat16}
    return compared(lambda dtype: pipelines[dtype], codec)


def test_the_faster_one_is_chosen_if_its_texts_and_its_perplexity_are_float32s(
    clock: Clock,
) -> None:
    figures = figures_of(Pipeline(clock), Pipeline(clock, 0.05, 20.1, frozenset({3})))
    assert fastest(figures) == "bfloat16"
    assert figures["float32"] == DtypeFigures(160.0, 20.0, 48)
    assert figures["bfloat16"] == DtypeFigures(320.0, 20.1, 48, compared_texts=16, same_texts=15)


@pytest.mark.parametrize(
    ("other", "refusal"),
    [
        ({"step_s": 0.2}, "it is not faster than float32"),
        ({"perplexity": 20.3}, "its perplexity is +1.5% from that of float32"),
        ({"perplexity": math.nan}, "its perplexity is +nan% from that of float32"),
        (
            {"changing": frozenset({0, 2, 3, 4})},
            "only 1 of 3 texts were the same alone and among 16",
        ),
        (
            {"changing": frozenset({14, 15})},
            "only 14 of 16 texts were the same alone and among 16",
        ),
    ],
)
def test_a_dtype_that_is_not_fit_is_refused_and_the_record_says_why(
    clock: Clock, other: dict[str, Any], refusal: str
) -> None:
    figures = figures_of(Pipeline(clock), Pipeline(clock, **({"step_s": 0.05} | other)))
    assert fastest(figures) == "float32"
    assert figures["bfloat16"].refusal == refusal


def test_a_slow_model_decodes_less_and_the_record_says_how_much(clock: Clock) -> None:
    slow = Pipeline(clock, 1.5)
    figures = figures_of(Pipeline(clock, 3.0), slow)
    assert fastest(figures) == "bfloat16"
    assert figures["float32"].compared_tokens == 10
    assert figures["bfloat16"] == DtypeFigures(10.7, 20.0, 20, compared_texts=4, same_texts=4)
    assert clock.now < 300


def test_a_model_that_is_too_slow_to_be_compared_computes_in_float32(clock: Clock) -> None:
    figures = figures_of(Pipeline(clock, 60.0), Pipeline(clock, 20.0))
    assert fastest(figures) == "float32"
    assert figures["bfloat16"].refusal == "it is too slow for texts to be compared in time"


def test_a_probe_that_is_rejected_ends_the_measurement(clock: Clock) -> None:
    class Rejecting(Pipeline):
        def step(self, command: StepCommand) -> StepResult:
            return StepResult(rejected={0: "no memory"})

    with pytest.raises(ConversionError, match="no memory"):
        figures_of(Pipeline(clock), Rejecting(clock))


def test_the_perplexity_is_that_of_the_probabilities_with_which_tokens_are_decoded() -> None:
    from deployments.engine.openvino.process import GenaiPipeline

    folder: Path = smollm2("gguf-tokenizer")
    codec = TextCodec.from_folder(folder)
    assert all(len(codec.encode(prompt)) < KV_BLOCK_TOKENS for prompt in PROMPTS)
    assert len(codec.encode(TEXT)) > 200
    properties = plugin_properties(2, "float32")
    weights = str(weights_path(folder, "float32"))
    launch = Launch(weights, properties, 2, 40, 512, prefix_cache=False)
    pipeline = GenaiPipeline(launch)
    prompt = tuple(codec.encode(PROMPTS[0]))
    fields = {**openvino_dtypes.GREEDY, "max_new_tokens": 8, "logprobs": 1}
    (text,) = openvino_dtypes._run(pipeline, [prompt], fields, 8, math.inf)
    (again,) = decoded(pipeline, [prompt], 8, math.inf)
    assert [token for token, _ in again] == [token for token, _ in text]
    before, whole = (
        math.log(perplexity_of(pipeline, ids)) * (len(ids) - 1)
        for ids in (prompt, (*prompt, *(token for token, _ in text)))
    )
    assert before - whole == pytest.approx(sum(logprob for _, logprob in text), abs=1e-2)
