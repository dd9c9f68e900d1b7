from __future__ import annotations

from threading import Event
from typing import Any

import llguidance.numpy
import pytest
import torch

from deployments.engine.codec import TextCodec
from deployments.engine.grammar.compiler import GrammarCompiler
from deployments.engine.sequence import Sequence
from deployments.engine.token_masks import MaskFiller, ban_early_ends
from deployments.seam.generation import Grammar, Sampling
from tests.deployments.engine.reading import PATIENCE_S

END = 256


@pytest.fixture(scope="module")
def grammars(byte_codec: TextCodec) -> GrammarCompiler:
    return GrammarCompiler(byte_codec)


def sequence(
    codec: TextCodec,
    grammars: GrammarCompiler | None,
    regex: str = "",
    text: str = "",
    **given: Any,
) -> Sequence:
    constraint = None
    if grammars is not None:
        constraint = grammars.compile(Grammar("regex", regex)).fresh()
    return Sequence(
        codec=codec,
        prompt_ids=(0,),
        sampling=Sampling(),
        max_new_tokens=100,
        on_token=lambda token: None,
        on_failure=lambda problem: None,
        resume_ids=codec.encode(text),
        constraint=constraint,
        **given,
    )


def allowed(codec: TextCodec, *sequences: Sequence, width: int = 257) -> list[set[int]]:
    scores = torch.zeros(len(sequences), width)
    MaskFiller(codec.vocab_size).prepare(sequences).wait().apply(scores, sequences)
    assert ((scores == 0.0) | (scores == float("-inf"))).all()
    return [set(row.isfinite().nonzero()[:, 0].tolist()) for row in scores]


def test_every_row_has_the_mask_of_its_own_text(
    byte_codec: TextCodec, grammars: GrammarCompiler
) -> None:
    a, b, c = byte_codec.encode("abc")
    rows = [
        sequence(byte_codec, grammars, "a*b"),
        sequence(byte_codec, None),
        sequence(byte_codec, grammars, "a(b|c?)", "a"),
    ]
    assert allowed(byte_codec, *rows) == [{a, b}, set(range(257)), {b, c, END}]
    assert allowed(byte_codec, *rows[1:]) == [set(range(257)), {b, c, END}]


@pytest.mark.parametrize("width", [250, 300])
def test_a_model_may_have_fewer_or_more_tokens_than_its_tokenizer(
    byte_codec: TextCodec, grammars: GrammarCompiler, width: int
) -> None:
    a, b = byte_codec.encode("ab")
    (found,) = allowed(byte_codec, sequence(byte_codec, grammars, "[ab]*"), width=width)
    assert found == {a, b, END} & set(range(width))


def test_an_early_end_is_banned_unless_nothing_else_is_left(
    byte_codec: TextCodec, grammars: GrammarCompiler
) -> None:
    (a,) = byte_codec.encode("a")
    early = sequence(byte_codec, grammars, "a*", min_new_tokens=3)
    late = sequence(byte_codec, grammars, "a*", "aaa", min_new_tokens=3)
    full = sequence(byte_codec, grammars, "a{0,2}", "aa", min_new_tokens=3)
    assert allowed(byte_codec, early, late) == [{a}, {a, END}]
    assert allowed(byte_codec, full) == [{END}]
    scores = torch.zeros(3, 257)
    free = [sequence(byte_codec, None, min_new_tokens=count) for count in (0, 1)]
    ban_early_ends(scores, [*free, early])
    assert (scores == float("-inf")).nonzero().tolist() == [[1, END]]


def test_masks_are_filled_while_others_work(
    byte_codec: TextCodec, grammars: GrammarCompiler, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill, go = llguidance.numpy.fill_next_token_bitmask_par, Event()

    def held(*arguments: Any) -> None:
        assert go.wait(PATIENCE_S)
        fill(*arguments)

    monkeypatch.setattr(llguidance.numpy, "fill_next_token_bitmask_par", held)
    text = sequence(byte_codec, grammars, "ab")
    prepared = MaskFiller(byte_codec.vocab_size).prepare([text])
    go.set()
    assert text in prepared.wait().rows
