"""Answers out of a text, compared with the algorithm of transformers' former pipeline."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import BertForQuestionAnswering

from deployments.conversion.openvino_export import write_export
from deployments.encoders.openvino import OpenVinoNetwork
from deployments.encoders.pytorch import load_network
from deployments.encoders.tokenization import TokenizedText
from deployments.entities import Entities
from deployments.seam.problems import Problem
from deployments.seam.question_answering import (
    AnswerSpan,
    ContextQuestionRequest,
    ContextQuestionResult,
)
from tests.deployments import tiny
from tests.deployments.families import (
    MAX_TOKENS,
    bert_config,
    family_of,
    saved,
    started,
    tokenizer,
    watch_batches,
)

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.usefixtures("in_replica")]

QUESTION = "is a cat"
CONTEXT = "sport and tax is a cats, e f"
LONG = "a b sporting c d e f g h i j cats tax is , a b c d sport e f g cat"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    model = BertForQuestionAnswering(bert_config("start", "end"))
    return saved(model, tmp_path_factory.mktemp("bert") / "model")


async def answered(folder: Path, context: str = CONTEXT, **request: Any) -> list[AnswerSpan]:
    family = Entities(family_of(folder, "question_answering"))
    request = {"question": QUESTION} | request
    answer = await family.answer_from_context(
        ContextQuestionRequest("tiny", context=context, **request)
    )
    assert isinstance(answer, ContextQuestionResult), answer
    return list(answer.items)


def expected(
    folder: Path,
    context: str,
    *,
    top_k: int = 1,
    max_answer_tokens: int = 15,
    align_to_words: bool = True,
    allow_none: bool = False,
) -> list[AnswerSpan]:
    """Every pair of tokens of every window is looked at, one by one."""
    model: Any = BertForQuestionAnswering.from_pretrained(folder)
    room = MAX_TOKENS - 3 - 3
    encoded = tokenizer()(
        QUESTION,
        context,
        truncation="only_second",
        max_length=MAX_TOKENS,
        stride=room // 2,
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
    )
    found: dict[str, list[Any]] = {}
    none = 1.0
    for row, ids in enumerate(encoded["input_ids"]):
        with torch.inference_mode():
            types = torch.tensor([encoded["token_type_ids"][row]])
            logits = model(input_ids=torch.tensor([ids]), token_type_ids=types)
        inner = [i for i, side in enumerate(encoded.sequence_ids(row)) if side == 1]
        start, end = (
            each[0, [0, *inner]].double().softmax(-1).tolist()
            for each in (logits.start_logits, logits.end_logits)
        )
        none = min(none, start[0] * end[0])
        words, offsets = encoded.word_ids(row), encoded["offset_mapping"][row]
        spans = []
        for i, first in enumerate(inner):
            for j, last in enumerate(inner[i : i + max_answer_tokens], i):
                spans.append((start[i + 1] * end[j + 1], first, last))
        spans.sort(reverse=True)
        for score, first, last in spans[: 2 * top_k + 10 if align_to_words else top_k]:
            if align_to_words:
                first = min(i for i in inner if words[i] == words[first])
                last = max(i for i in inner if words[i] == words[last])
            left, right = offsets[first][0], offsets[last][1]
            text = context[left:right]
            found.setdefault(text.lower(), [text, 0.0, left, right])[1] += score
    answers = [*found.values(), *([["", none, 0, 0]] if allow_none else [])]
    answers.sort(key=lambda answer: -answer[1])
    about: Any = pytest.approx
    return [
        AnswerSpan(text, about(score, 1e-4), left, right)
        for text, score, left, right in answers[:top_k]
    ]


@pytest.mark.parametrize("context", [CONTEXT, LONG], ids=["one window", "many windows"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"top_k": 6},
        {"top_k": 4, "align_to_words": False},
        {"top_k": 5, "max_answer_tokens": 2},
        {"top_k": 9, "allow_none": True},
    ],
)
async def test_answers_are_those_of_the_former_pipeline(
    folder: Path, context: str, options: dict[str, Any]
) -> None:
    answers = await answered(folder, context, **options)
    assert answers == expected(folder, context, **options)
    assert all(each.answer == context[each.start : each.end] for each in answers)


async def test_an_answer_at_the_end_of_a_very_long_context_has_its_place(tmp_path: Path) -> None:
    """The model answers with the word cat, wherever it is, and where there is none with nothing."""
    model = BertForQuestionAnswering(bert_config("start", "end"))
    with torch.no_grad():
        words = model.bert.embeddings.word_embeddings.weight
        cls, cat = (words[i] - words[i].mean() for i in (2, 23))
        wanted = 9 * (cat + 0.6 * cls)  # near certainty
        words[[i for i in range(len(words)) if i not in (2, 23)]] = 0.0
        for name, parameter in model.named_parameters():
            if "embeddings.word" not in name and "LayerNorm.weight" not in name:
                parameter.zero_()
        model.qa_outputs.weight[:] = wanted
    context = "a b c d e , g h i j " * 300 + "cat e d"
    (answer,) = await answered(saved(model, tmp_path / "model"), context, question="is this")
    assert (answer.answer, answer.start) == ("cat", 20 * 300)


async def test_windows_of_a_context_share_forwards(folder: Path) -> None:
    family = Entities(family_of(folder, "question_answering"))
    batches: list[int] = []
    watch_batches(family, lambda batch: batches.append(len(batch)))
    await started(family)
    batches.clear()
    answer = await family.answer_from_context(ContextQuestionRequest("tiny", QUESTION, LONG))
    assert isinstance(answer, ContextQuestionResult)
    assert len(answer.tokens) == sum(batches) > len(batches) == 1
    assert answer.token_counts.prompt == sum(answer.tokens)


async def test_a_question_that_leaves_no_room_is_named(folder: Path) -> None:
    family = Entities(family_of(folder, "question_answering"))
    request = ContextQuestionRequest("tiny", "a " * 9, CONTEXT)
    answer = await family.answer_from_context(request)
    assert isinstance(answer, Problem)
    assert (answer.kind, answer.field) == ("validation", "question")
    assert "9 tokens" in answer.message


async def test_an_export_to_openvino_answers_alike(folder: Path, tmp_path: Path) -> None:
    write_export(folder, tmp_path, "span")
    network = OpenVinoNetwork(tmp_path, threads=1, bfloat16=False)
    options = {"dtype": None, "use_safetensors": True, "trust_remote_code": False}
    reference = load_network("span", folder, "cpu", options)
    given = network.tokenizer([QUESTION], [CONTEXT])
    assert given.sequence_ids() == tokenizer()([QUESTION], [CONTEXT]).sequence_ids()
    texts = [TokenizedText({name: rows[0] for name, rows in given.items()})]
    assert network(texts).shape == (1, len(texts[0]), 2)
    assert np.allclose(network(texts), reference(texts), atol=1e-3)


async def test_a_tokenizer_that_pads_on_the_left_is_refused(tmp_path: Path) -> None:
    model = BertForQuestionAnswering(bert_config("start", "end"))
    folder = tiny.saved(tmp_path / "model", model)
    file = folder / "tokenizer_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"padding_side": "left"}))
    with pytest.raises(ValueError, match="left"):
        await started(Entities(family_of(folder, "question_answering")))
