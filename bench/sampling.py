"""A step of sampling against transformers' logits processors: ``python -m bench.sampling``.

Both sides get the same logits, at the sizes of SmolLM2's and Qwen's vocabularies, and choose a
token for each of 1, 16 and 64 sequences. The peer samples row by row: transformers' own
``LogitsProcessorList``, then a draw from the softmax, and for a schema one mask after the other.
Both run on one thread of torch and are measured in the process's processor time, of all its
threads, so that neighbours on the machine count little. So masks, which the engine fills beside the
forward, count in full. Takes some minutes and one core.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    LogitsProcessorList,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from bench.pairs import Pair, Side, alternated, machine, table, tell
from deployments.engine.codec import TextCodec
from deployments.engine.grammar.compiler import GrammarCompiler
from deployments.engine.grammar.constraint import Constraint
from deployments.engine.model_folder import ModelFolder
from deployments.engine.sampling import Sampled, Sampler
from deployments.engine.sequence import Sequence
from deployments.seam.generation import Grammar, Sampling

VOCABULARIES = (49_152, 152_064)
ROWS = (1, 16, 64)
SECONDS = 0.2
"""How long a side repeats its step for one figure."""

SCHEMA = Grammar(
    "json_schema",
    json.dumps(
        {
            "type": "object",
            "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
            "required": ["name", "age"],
            "additionalProperties": False,
        }
    ),
)


@dataclass(frozen=True)
class Case:
    """What all sequences of a step ask for. ``peaks`` are the tokens that stand out."""

    name: str
    settings: dict[str, Any]
    schema: bool = False
    peaks: int = 40


CASES = (
    Case("greedy", {"temperature": 0.0}),
    Case("temperature 0.8", {"temperature": 0.8}),
    Case("top_p 0.9", {"temperature": 0.8, "top_p": 0.9}),
    Case("top_p 0.9, thousands of tokens", {"temperature": 0.8, "top_p": 0.9}, peaks=0),
    Case("top_p 0.9, top_k 50", {"temperature": 0.8, "top_p": 0.9, "top_k": 50}),
    Case("greedy, repetition penalty 1.1", {"temperature": 0.0, "repetition_penalty": 1.1}),
    Case("greedy, JSON schema", {"temperature": 0.0}, schema=True),
)


def codec_of(vocabulary: int) -> TextCodec:
    """A codec with as many tokens: single bytes, and random words of letters and JSON's marks."""
    characters = sorted(pre_tokenizers.ByteLevel.alphabet())
    dice = np.random.default_rng(0)
    letters = np.array(list('abcdefghijklmnopqrstuvwxyzĠ"{}:,0123456789'))
    words = dict.fromkeys(characters)
    while len(words) < vocabulary - 1:
        words["".join(dice.choice(letters, dice.integers(2, 9)))] = None
    vocab = {word: token_id for token_id, word in enumerate(words)}
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken("<end>", special=True)])
    end = {"eos_token_id": vocabulary - 1}
    folder = ModelFolder(Path("nowhere"), {"vocab_size": vocabulary}, end, {"eos_token": "<end>"})
    return TextCodec(tokenizer, folder)


def logits_of(case: Case, rows: int, vocabulary: int) -> torch.Tensor:
    """Normal noise with ``peaks`` tokens above it, as a model that knows what may come."""
    made = 2 * torch.randn(rows, vocabulary, generator=torch.Generator().manual_seed(0))
    for row in made:
        row[torch.randperm(vocabulary)[: case.peaks]] += 8 + 8 * torch.rand(case.peaks)
    return made


def sequence_of(case: Case, number: int, codec: TextCodec, schema: Constraint | None) -> Sequence:
    """A sequence behind a prompt of 500 tokens, at the beginning of its text."""
    dice = np.random.default_rng(number)
    return Sequence(
        codec=codec,
        prompt_ids=dice.integers(0, codec.vocab_size - 1, 500).tolist(),
        sampling=Sampling(seed=number, **case.settings),
        max_new_tokens=100,
        on_token=lambda token: None,
        on_failure=lambda problem: None,
        constraint=None if schema is None else schema.fresh(),
    )


class OneByOne:
    """The peer: transformers' processors and a draw for one sequence."""

    def __init__(self, sequence: Sequence) -> None:
        self._sequence, plan = sequence, sequence.sampling
        self._ids: Any = torch.tensor([[*sequence.prompt_ids, *sequence.generated]])
        self._processors = LogitsProcessorList()
        if plan.repetition_penalty != 1.0:
            self._processors.append(RepetitionPenaltyLogitsProcessor(plan.repetition_penalty))
        if not plan.greedy:
            self._processors.append(TemperatureLogitsWarper(plan.temperature))
            if plan.top_k:
                self._processors.append(TopKLogitsWarper(plan.top_k))
            if plan.top_p < 1.0:
                self._processors.append(TopPLogitsWarper(plan.top_p))

    def sample(self, logits: torch.Tensor) -> int:
        scores: torch.Tensor = self._processors(self._ids, logits[None].clone())[0]
        if self._sequence.constraint is not None:
            bits = np.frombuffer(self._sequence.constraint.matcher.compute_bitmask(), np.uint8)
            allowed = np.unpackbits(bits, bitorder="little", count=len(scores)).view(np.bool_)
            scores = scores.masked_fill_(torch.from_numpy(~allowed), float("-inf"))
        if self._sequence.sampling.greedy:
            return int(scores.argmax())
        return int(torch.multinomial(torch.softmax(scores, dim=-1), 1))


def seconds_a_step(step: Callable[[], object]) -> float:
    """Processor time: the mean of steps that are repeated for a while."""
    begin, steps = time.process_time(), 0
    while (elapsed := time.process_time() - begin) < SECONDS or not steps:
        step()
        steps += 1
    return elapsed / steps


def measured(case: Case, codec: TextCodec, rows: int, rounds: int) -> Pair:
    """Milliseconds of a step of both sides."""
    schema = GrammarCompiler(codec).compile(SCHEMA) if case.schema else None
    logits = logits_of(case, rows, codec.vocab_size)
    sequences = [sequence_of(case, number, codec, schema) for number in range(rows)]
    sampler, peers = Sampler(codec, logits.device), [OneByOne(each) for each in sequences]
    for each in sequences:
        sampler.add(each)

    def together() -> list[int]:
        outcomes = sampler.sample(sequences, logits, sampler.prepare(sequences))
        return [each.token_id for each in outcomes if isinstance(each, Sampled)]

    def one_by_one() -> list[int]:
        return [peer.sample(row) for peer, row in zip(peers, logits, strict=True)]

    if case.settings["temperature"] == 0.0 and together() != one_by_one():
        raise RuntimeError(f"the sides choose different tokens: {case.name}")
    return alternated(
        Side("sampler", "float32", lambda: 1000 * seconds_a_step(together)),
        Side("one by one", "float32", lambda: 1000 * seconds_a_step(one_by_one)),
        rounds=rounds,
    )


def rows_of(vocabularies: Iterable[int], rounds: int) -> list[list[str]]:
    found = []
    for vocabulary in vocabularies:
        codec = codec_of(vocabulary)
        for case in CASES:
            for rows in ROWS:
                pair = measured(case, codec, rows, rounds)
                medians = [f"{side.median:.2f}" for side in (pair.ours, pair.theirs)]
                found.append(
                    [case.name, f"{vocabulary:,}", str(rows), *medians, f"**{pair.ratio:.3f}**"]
                )
                tell(" ".join(found[-1]))
    return found


@click.command()
@click.option("--vocabulary", type=int, multiple=True, default=VOCABULARIES)
@click.option("--rounds", type=click.IntRange(1, 9), default=3)
def main(vocabulary: tuple[int, ...], rounds: int) -> None:
    """Milliseconds of a sampling step, for all rows at once and one by one."""
    torch.set_num_threads(1)
    with torch.inference_mode():
        rows = rows_of(vocabulary, rounds)
    click.echo(f"{machine()}\n")
    titles = ["each sequence asks for", "vocabulary", "rows", "ms", "one by one, ms", "ratio"]
    click.echo(table(titles, rows))


if __name__ == "__main__":
    main()
