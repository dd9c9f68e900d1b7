# ruff: noqa: T201 - a command that prints a table
"""OpenVINO against torch for every encoder of the embedded profile: ``python -m bench.arithmetic``.

Measured is the forward alone, tokens in and arrays out, in texts a second. Both run in turn in this
process, on every core. The ratio is OpenVINO / torch: above 1 OpenVINO is faster. Texts come one by
one, in batches of 32 short ones, and in batches of 32 of mixed lengths, sorted by length. Where the
processor multiplies bfloat16, a second row has that on both sides. The last column compares
OpenVINO's answers with torch's in float32: the least cosine of vectors, or the greatest difference
of scores (softmax over labels, or the logit of a reranker).
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Sequence
from functools import partial

import numpy as np
import numpy.typing as npt

from bench.pairs import Pair, Side, alternated, machine, table, tell
from configs.engines import ModelHead
from configs.processor import native_bfloat16
from configs.profile import ModelSpec, load_settings
from configs.profile_file import load_profile
from deployments.encoders.backends import open_network
from deployments.encoders.interface import Network
from deployments.encoders.tokenization import TokenizedText, tokenize
from deployments.models.config import FamilyConfig

ROUNDS = 3
SECONDS = 1.2
BATCH = 32
MIXED = 128
LENGTHS = (4, 8, 8, 16, 32, 64, 96)
PROSE = (
    "the first railway to carry passengers by steam was opened in north of England and towns set "
    "their clocks by timetable while fresh milk reached cities"
)

Work = Sequence[Sequence[TokenizedText]]


def texts(count: int, lengths: Sequence[int]) -> list[str]:
    """Texts of so many words, the same ones every time."""
    drawn = random.Random(0)
    return [" ".join(drawn.choices(PROSE.split(), k=drawn.choice(lengths))) for _ in range(count)]


def batches(network: Network, given: Sequence[str], size: int) -> Work:
    """The texts as the lane batches them: sorted by length, ``size`` in a batch."""
    read = tokenize(network.tokenizer, given, network.info.max_tokens, truncate=True)
    good = sorted((text for text in read if isinstance(text, TokenizedText)), key=len)
    return [good[start : start + size] for start in range(0, len(good), size)]


WORKS = {
    "one by one": (texts(16, (8,)), 1),
    f"batches of {BATCH}": (texts(BATCH, (8,)), BATCH),
    "mixed, sorted": (texts(MIXED, LENGTHS), BATCH),
}


def rate(network: Network, work: Work) -> float:
    """Texts a second, over at least ``SECONDS``."""
    done, began = 0, time.perf_counter()
    while (taken := time.perf_counter() - began) < SECONDS:
        for batch in work:
            network(batch)
        done += sum(map(len, work))
    return done / taken


def compared(
    ours: Network, theirs: Network, arithmetic: str, given: Sequence[str], size: int
) -> Pair:
    work = batches(theirs, given, size)
    for network in (ours, theirs):
        network(work[-1])
    one, other = (
        Side(network.engine, arithmetic, partial(rate, network, work)) for network in (ours, theirs)
    )
    return alternated(one, other, rounds=ROUNDS)


def agreement(ours: Network, theirs: Network, head: ModelHead) -> str:
    """How far the answers of the two differ on texts of mixed lengths."""
    one, other = answers(ours), answers(theirs)
    if head == "embedding":
        lengths = np.linalg.norm(one, axis=-1) * np.linalg.norm(other, axis=-1)
        return f"least cosine {((one * other).sum(-1) / lengths).min():.7f}"
    if one.shape[-1] > 1:
        one, other = softmax(one), softmax(other)
    return f"greatest difference {np.abs(one - other).max():.1e}"


def answers(network: Network) -> npt.NDArray[np.float64]:
    """The outputs of every text, or of every token of every text."""
    rows: list[npt.NDArray[np.float32]] = []
    for batch in batches(network, *WORKS["mixed, sorted"]):
        outputs = network(batch)
        padded = outputs.ndim == 3
        rows += [
            row[: len(text)] if padded else row[None]
            for row, text in zip(outputs, batch, strict=True)
        ]
    return np.concatenate(rows).astype(np.float64)


def softmax(logits: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    exponents = np.exp(logits - logits.max(-1, keepdims=True))
    probabilities: npt.NDArray[np.float64] = exponents / exponents.sum(-1, keepdims=True)
    return probabilities


def rows(config: FamilyConfig, spec: ModelSpec, head: ModelHead) -> list[list[str]]:
    """One row for each arithmetic and kind of work."""
    made = []
    exact = opened(config, spec, head, "float32", "torch")
    dtypes = {"float32": "float32"} | ({"bfloat16": "auto"} if native_bfloat16() else {})
    for arithmetic, dtype in dtypes.items():
        ours = opened(config, spec, head, dtype, "openvino")
        theirs = opened(config, spec, head, dtype, "torch")
        agreed = agreement(ours, exact, head)
        for name, (given, size) in WORKS.items():
            pair = compared(ours, theirs, arithmetic, given, size)
            tell(f"{spec.name}, {arithmetic}, {name}: {pair.ratio:.2f}")
            rates = [f"{figures.median:.0f}" for figures in (pair.ours, pair.theirs)]
            made.append([spec.name, arithmetic, name, *rates, f"{pair.ratio:.2f}", agreed])
    return made


def opened(
    config: FamilyConfig, spec: ModelSpec, head: ModelHead, dtype: str, engine: str
) -> Network:
    """The model's network on that engine, computing in that ``dtype`` of a profile."""
    return open_network(config, spec.model_copy(update={"engine": engine, "dtype": dtype}), head)


def main(wanted: Sequence[str]) -> None:
    """Every encoder of the embedded profile, or those whose names are given."""
    profile = load_profile("embedded")
    config = FamilyConfig("bench", (), load_settings(profile))
    found: list[list[str]] = []
    for spec in profile.models:
        if spec.head is not None and (not wanted or spec.name in wanted):
            found += rows(config, spec, spec.head)
    print(f"{machine()}, {config.threads} threads\n")
    titles = ("model", "in", "texts", "OpenVINO, texts/s", "torch, texts/s", "ratio", "answers")
    print(table(titles, found))


if __name__ == "__main__":
    main(sys.argv[1:])
