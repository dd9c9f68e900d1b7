"""Token classification, from texts to spans."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import BertForTokenClassification

from deployments.batching.tuning import PART_CHARACTERS
from deployments.encoders.spans import Window, windows
from deployments.entities import TOKENS, Entities, LabelledWindow, _add_windows
from deployments.seam.entities import Entity, EntityRequest, EntityResult
from deployments.seam.problems import Problem
from tests.deployments.families import act_as_replica, bert_config, family_of, saved
from tests.deployments.forwards import PATIENCE_S, Forwards

pytestmark = pytest.mark.asyncio(loop_scope="session")

TEXTS = ("a cat", "sport and tax is a cat", "e f g h i j " * 8)


@pytest.fixture(autouse=True)
def _replica(monkeypatch: pytest.MonkeyPatch) -> None:
    act_as_replica(monkeypatch)


@pytest.fixture
def family(tmp_path: Path) -> Entities:
    """A model that calls a word a CAT when its own embedding says so, whatever stands around."""
    model = BertForTokenClassification(bert_config("O", "B-CAT"))
    with torch.no_grad():
        cat = model.bert.embeddings.word_embeddings.weight[23].clone()
        for name, parameter in model.named_parameters():
            if "embeddings.word" not in name and "LayerNorm.weight" not in name:
                parameter.zero_()
        model.classifier.weight[1] = cat - cat.mean()
        model.classifier.bias[0] = 0.8 * float((cat - cat.mean()).norm()) * len(cat) ** 0.5
    folder = saved(model, tmp_path / "model")
    return Entities(family_of(folder, "entities"))


async def recognised(family: Entities, *texts: str) -> list[tuple[Entity, ...]]:
    answer = await family.recognise(EntityRequest("tiny", texts))
    assert isinstance(answer, EntityResult)
    found = [item for item in answer.items if not isinstance(item, Problem)]
    assert len(found) == len(texts)
    return found


async def test_every_text_gets_its_own_entities(family: Entities) -> None:
    found = await recognised(family, "a cat", "no such thing", "cat , cat")
    assert [[(e.label, e.start, e.end) for e in item] for item in found] == [
        [("CAT", 2, 5)],
        [],
        [("CAT", 0, 3), ("CAT", 6, 9)],
    ]
    assert 0.5 < found[0][0].score <= 1


async def test_a_text_of_many_windows_is_read_to_its_end(family: Entities) -> None:
    text = "a b c d e f g h i j " * 5 + "cat " + "a b c d e " * 9 + "cat"
    (found,) = await recognised(family, text)
    assert [text[e.start : e.end] for e in found] == ["cat", "cat"]
    assert found[1].end == len(text)


async def test_neighbours_change_nothing(family: Entities) -> None:
    def places(found: tuple[Entity, ...]) -> list[tuple[str, int, int]]:
        return [(entity.label, entity.start, entity.end) for entity in found]

    together = await recognised(family, *TEXTS)
    alone = [(await recognised(family, text))[0] for text in TEXTS]
    assert [places(found) for found in together] == [places(found) for found in alone]


async def test_a_single_text_is_read_before_the_rest_of_a_heavy_list(
    family: Entities, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads, order = Forwards(), list[int]()

    def read(tokenizer: Any, texts: Sequence[str], max_tokens: int) -> list[list[Window]]:
        reads([len(texts)])
        order.append(sum(map(len, texts)))
        return windows(tokenizer, texts, max_tokens)

    monkeypatch.setattr("deployments.entities.windows", read)
    long = "cat" + " " * PART_CHARACTERS
    batcher: Any = family._limits
    thread = batcher._thread
    heavy = asyncio.create_task(recognised(family, *[long] * 4))
    await reads.started()
    single = asyncio.create_task(recognised(family, "a cat"))
    async with asyncio.timeout(PATIENCE_S):
        while thread._work_queue.empty():
            await asyncio.wait([single], timeout=0.001)
    reads.end(5)
    assert [len(found) for found in await single] == [1]
    assert [len(found) for found in await heavy] == [1, 1, 1, 1]
    assert order == [len(long), 5, *[len(long)] * 3]


async def test_what_the_model_says_of_a_long_text_is_read_in_bounded_parts(
    family: Entities, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts: list[int] = []

    def add(part: Sequence[LabelledWindow], names: tuple[str, ...]) -> None:
        parts.append(sum(len(window.tokens) for _, window, _ in part))
        _add_windows(part, names)

    monkeypatch.setattr("deployments.entities._add_windows", add)
    text = "cat a " * 700
    (found,) = await recognised(family, text)
    assert len(found) == 700
    assert len(parts) > 1
    assert max(parts) <= TOKENS
