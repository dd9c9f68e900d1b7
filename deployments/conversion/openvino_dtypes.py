"""Measures a text generator on OpenVINO in each dtype, and chooses the fastest that is fit.

A dtype is fit if its perplexity of a fixed text is within 1 % of float32's, and if of 16 greedy
texts at least 15 are the same alone and together. A slow model decodes less: each measurement has a
time limit, and the record says how much was compared.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Protocol

from configs.processor import processor_name, usable_cores
from configs.weights.dtypes import DTYPE_RECORD_FILE, DtypeFigures
from deployments.conversion.errors import ConversionError
from deployments.conversion.probe_texts import PROMPTS, TEXT
from deployments.engine.codec import TextCodec
from deployments.engine.openvino.genai_config import plugin_properties, weights_path
from deployments.engine.openvino.messages import Launch, RunAdmission, StepCommand, StepResult

CANDIDATES = ("float32", "bfloat16")
"""The dtypes that may be chosen; the first is the one that others are compared with."""

MAX_PERPLEXITY_CHANGE = 0.01
MIN_SAME = 15 / 16
NEW_TOKENS = 48

MAX_DECODE_S = 30.0
"""Time for texts that are decoded together; slower models decode fewer tokens."""

MAX_COMPARE_S = 90.0
"""Time for the same texts one by one; slower models compare fewer."""

MIN_COMPARED = 4
"""A dtype is not chosen after fewer texts, nor after texts of fewer tokens."""

TOO_SLOW = "it is too slow for texts to be compared in time"

GREEDY = {"do_sample": False, "ignore_eos": True}
KV_BLOCKS = 160
"""Room for all texts together: a prompt and its new tokens take up to three blocks of 32."""

MAX_BATCHED_TOKENS = 512
Text = list[tuple[int, float]]
"""Tokens with their log-probabilities."""


class SteppedPipeline(Protocol):
    """The part of :class:`~deployments.engine.openvino.process.GenaiPipeline` that is used."""

    def step(self, command: StepCommand) -> StepResult:
        """Start and cancel runs, then compute one step."""
        ...


def write_choice(origin: Path, folder: Path) -> None:
    """Write ``dtypes.json``: what was measured of each dtype, and which was chosen."""
    from deployments.engine.openvino.process import GenaiPipeline

    def opened(dtype: str) -> SteppedPipeline:
        return GenaiPipeline(
            Launch(
                model=str(weights_path(origin, dtype)),
                properties=plugin_properties(None, dtype),
                slots=len(PROMPTS),
                kv_blocks=KV_BLOCKS,
                max_batched_tokens=MAX_BATCHED_TOKENS,
                prefix_cache=False,
            )
        )

    figures = compared(opened, TextCodec.from_folder(origin))
    record = {
        "processor": processor_name(),
        "threads": usable_cores(),
        "chosen": fastest(figures),
        "figures": {name: asdict(each) for name, each in figures.items()},
    }
    (folder / DTYPE_RECORD_FILE).write_text(json.dumps(record), encoding="utf-8")


def compared(opened: Callable[[str], SteppedPipeline], codec: TextCodec) -> dict[str, DtypeFigures]:
    """What was measured of each candidate. Only one model is in memory at a time."""
    prompts = [tuple(codec.encode(prompt)) for prompt in PROMPTS]
    text = tuple(codec.encode(TEXT))[: MAX_BATCHED_TOKENS // 2]
    exact, *others = CANDIDATES
    figures = {exact: _speed_and_perplexity(opened(exact), prompts, text)[0]}
    for dtype in others:
        pipeline = opened(dtype)
        measured, together = _speed_and_perplexity(pipeline, prompts, text)
        refusal = _unfit(measured, figures[exact])
        if refusal is None:
            measured = _compared_alone(pipeline, prompts, together, measured)
        else:
            measured = replace(measured, refusal=refusal)
        figures[dtype] = measured
    return figures


def fastest(figures: dict[str, DtypeFigures]) -> str:
    fit = [name for name, each in figures.items() if each.refusal is None]
    return max(fit, key=lambda name: figures[name].tokens_per_s)


def _speed_and_perplexity(
    pipeline: SteppedPipeline, prompts: Sequence[tuple[int, ...]], text: tuple[int, ...]
) -> tuple[DtypeFigures, list[Text]]:
    perplexity = perplexity_of(pipeline, text)
    decoded(pipeline, prompts[:2], 2, MAX_DECODE_S)  # the first tokens are slower
    began = time.perf_counter()
    together = decoded(pipeline, prompts, NEW_TOKENS, MAX_DECODE_S)
    rate = sum(map(len, together)) / (time.perf_counter() - began)
    return DtypeFigures(round(rate, 1), round(perplexity, 4), min(map(len, together))), together


def _unfit(measured: DtypeFigures, exact: DtypeFigures) -> str | None:
    """Why a dtype may not be chosen whatever its texts are, if so."""
    change = measured.perplexity / exact.perplexity - 1
    if not abs(change) <= MAX_PERPLEXITY_CHANGE:
        return f"its perplexity is {change:+.1%} from that of float32"
    if measured.tokens_per_s <= exact.tokens_per_s:
        return "it is not faster than float32"
    if measured.compared_tokens < MIN_COMPARED:
        return TOO_SLOW
    return None


def _compared_alone(
    pipeline: SteppedPipeline,
    prompts: Sequence[tuple[int, ...]],
    together: Sequence[Text],
    measured: DtypeFigures,
) -> DtypeFigures:
    """Decode the texts alone, until the time is over or too many differ."""
    began = time.perf_counter()
    same = texts = 0
    tokens = measured.compared_tokens
    for prompt, beside in zip(prompts, together, strict=True):
        different = texts - same
        if different > len(prompts) * (1 - MIN_SAME) or time.perf_counter() - began > MAX_COMPARE_S:
            break
        (alone,) = decoded(pipeline, [prompt], tokens, MAX_DECODE_S)
        tokens = min(tokens, len(alone))
        texts += 1
        same += _ids(alone) == _ids(beside[: len(alone)])
    refusal = None
    if same < texts * MIN_SAME:
        refusal = f"only {same} of {texts} texts were the same alone and among {len(prompts)}"
    elif texts < MIN_COMPARED or tokens < MIN_COMPARED:
        refusal = TOO_SLOW
    return replace(
        measured, compared_tokens=tokens, compared_texts=texts, same_texts=same, refusal=refusal
    )


def perplexity_of(pipeline: SteppedPipeline, text: tuple[int, ...]) -> float:
    """Of the tokens of ``text`` after the first, which one forward reads.

    With ``echo`` the library gives the log-probabilities of the prompt's own tokens.
    """
    fields = {**GREEDY, "max_new_tokens": 1, "logprobs": 1, "echo": True}
    (read,) = _run(pipeline, [text], fields, len(text) + 1, math.inf)
    if tuple(_ids(read[: len(text)])) != text:
        raise ConversionError("OpenVINO does not give back the prompt whose probabilities it tells")
    logprobs = [logprob for _, logprob in read[1 : len(text)]]
    return math.exp(-sum(logprobs) / len(logprobs))


def decoded(
    pipeline: SteppedPipeline, prompts: Sequence[tuple[int, ...]], new_tokens: int, max_s: float
) -> list[Text]:
    """Greedy continuations of ``prompts``, decoded together; shorter ones if time runs out."""
    return _run(pipeline, prompts, {**GREEDY, "max_new_tokens": new_tokens}, new_tokens, max_s)


def _run(
    pipeline: SteppedPipeline,
    prompts: Sequence[tuple[int, ...]],
    fields: Mapping[str, object],
    length: int,
    max_s: float,
) -> list[Text]:
    texts: list[Text] = [[] for _ in prompts]
    runs = tuple(RunAdmission(number, prompt, fields) for number, prompt in enumerate(prompts))
    command, began = StepCommand(runs), time.perf_counter()
    while any(len(text) < length for text in texts) and time.perf_counter() - began < max_s:
        result = pipeline.step(command)
        command = StepCommand()
        if result.evicted or result.rejected:
            raise ConversionError(f"OpenVINO did not decode a probe: {result.rejected}")
        for number, tokens in result.tokens.items():
            texts[number] += tokens
    pipeline.step(StepCommand(cancels=tuple(range(len(prompts)))))
    return texts


def _ids(text: Text) -> list[int]:
    return [token_id for token_id, _ in text]
