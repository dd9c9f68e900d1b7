"""Our fast tokenizer gives exactly the tokens of transformers' tokenizer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from configs.profile import load_settings
from configs.profile_file import load_profile
from configs.weights import materialise
from deployments.encoders.fast_tokenizer import FastTokenizer
from deployments.encoders.padding import Padding
from deployments.encoders.spans import windows
from deployments.encoders.tokenization import (
    Pairs,
    TokenizedText,
    tokenize,
    tokenize_pairs,
    too_long_sides,
)
from tests.deployments import tiny
from tests.deployments.test_conversion import TEXTS

LIMIT = 24
LONG = " ".join(TEXTS) * 3
ODD = [*TEXTS, "", " ", LONG, "[SEP] [MASK] </s> <s> [PAD]", "x" * 400, "\ud7ff\x00\x7f", "I̶n̶k̶"]


PROFILE = load_profile("embedded")
ENCODERS = {model.name: model for model in PROFILE.models if model.head is not None}
"""Each with its real vocabulary."""


@pytest.fixture(params=[*ENCODERS, "left", "splitting"])
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Any, FastTokenizer]:
    """Transformers' tokenizer and ours, of the same model."""
    theirs: Any
    if (model := ENCODERS.get(request.param)) is not None:
        cache = load_settings(PROFILE).hf_cache_dir
        theirs = AutoTokenizer.from_pretrained(materialise(model.source, cache))
    else:
        theirs = tiny.tokenizer()
        theirs.truncation_side = theirs.padding_side = "left"
        theirs.split_special_tokens = request.param == "splitting"
    assert isinstance(theirs, PreTrainedTokenizerFast)
    FastTokenizer.save(theirs, tmp_path)
    return theirs, FastTokenizer.read(tmp_path)


@pytest.mark.parametrize("truncate", [False, True])
def test_texts_have_the_same_tokens(pair: tuple[Any, FastTokenizer], truncate: bool) -> None:
    theirs, ours = pair
    assert tokenize(ours, ODD, LIMIT, truncate=truncate) == tokenize(
        theirs, ODD, LIMIT, truncate=truncate
    )


@pytest.mark.parametrize("truncate", [False, True])
@pytest.mark.parametrize("shortened", ["first", "second"])
def test_pairs_have_the_same_tokens_and_the_same_side_is_cut(
    pair: tuple[Any, FastTokenizer], truncate: bool, shortened: Any
) -> None:
    theirs, ours = pair
    given = Pairs(tuple(ODD), tuple(reversed(ODD)), shortened, "the pair")
    made = [tokenize_pairs(each, given, LIMIT, truncate=truncate) for each in pair]
    assert made[0] == made[1]
    assert too_long_sides(ours, ODD, LIMIT) == too_long_sides(theirs, ODD, LIMIT)


def test_windows_have_the_same_tokens_words_and_places(pair: tuple[Any, FastTokenizer]) -> None:
    theirs, ours = pair
    assert windows(ours, ODD, LIMIT) == windows(theirs, ODD, LIMIT)


def test_batches_are_padded_alike(pair: tuple[Any, FastTokenizer]) -> None:
    theirs, ours = pair
    assert ours.padding == Padding.of(theirs)
    texts = [
        text
        for text in tokenize(ours, ODD, LIMIT, truncate=True)
        if isinstance(text, TokenizedText)
    ]
    padded = ours.padding(texts)
    columns = {name: [text.features[name] for text in texts] for name in texts[0].features}
    wanted = theirs.pad(columns, padding=True, return_tensors="np")
    assert set(padded) == set(wanted)
    for name, array in padded.items():
        assert array.tolist() == wanted[name].tolist()


def test_truncating_one_call_does_not_truncate_the_next(pair: tuple[Any, FastTokenizer]) -> None:
    _, ours = pair
    (whole,) = ours([LONG])["input_ids"]
    ours([LONG], truncation=True, max_length=LIMIT)
    assert ours([LONG])["input_ids"] == [whole]
