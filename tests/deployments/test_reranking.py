"""Reranking by a cross-encoder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import BertForSequenceClassification

from deployments.batching.tuning import PART_CHARACTERS
from deployments.encoders.tokenization import Pairs, tokenize_pairs
from deployments.reranking import Reranking
from deployments.seam.problems import Problem
from deployments.seam.reranking import RerankRequest, RerankResult
from tests.deployments.families import bert_config, family_of, saved, started, tokenizer

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.usefixtures("in_replica")]

DOCUMENTS = ("a b c", "d", "e f g h", "tax")
LONG = " ".join("abcdefghij" * 2)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return saved(BertForSequenceClassification(bert_config("relevance")), tmp_path / "model")


@pytest.fixture
def family(folder: Path) -> Reranking:
    return Reranking(family_of(folder, "rerank"))


async def test_a_score_is_the_models_logit_for_query_and_document(
    family: Reranking, folder: Path
) -> None:
    answer = await family.rerank(RerankRequest("tiny", "sport", DOCUMENTS))
    assert isinstance(answer, RerankResult)
    model: Any = BertForSequenceClassification.from_pretrained(folder)
    model.eval()
    for document, score, tokens in zip(DOCUMENTS, answer.items, answer.tokens, strict=True):
        features = tokenizer()("sport", document, return_tensors="pt")
        with torch.inference_mode():
            expected = float(model(**features).logits[0, 0])
        assert score == pytest.approx(expected, abs=1e-5)
        assert tokens == features["input_ids"].shape[1]
    assert len(set(answer.items)) == len(DOCUMENTS)


async def test_a_document_that_is_too_long_fails_alone_unless_cut(family: Reranking) -> None:
    request = RerankRequest("tiny", "sport", ("a", LONG, "b"))
    answer = await family.rerank(request)
    assert isinstance(answer, RerankResult)
    assert [isinstance(item, Problem) for item in answer.items] == [False, True, False]
    cut = await family.rerank(RerankRequest("tiny", "sport", ("a", LONG, "b"), truncate=True))
    assert isinstance(cut, RerankResult)
    assert cut.items[0] == pytest.approx(answer.items[0], abs=1e-5)
    assert isinstance(cut.items[1], float)


async def test_documents_are_cut_to_the_tokens_that_the_request_allows(
    family: Reranking,
) -> None:
    documents = ("a b c d", "a b", LONG)
    request = RerankRequest("tiny", "sport", documents, max_document_tokens=2)
    answer = await family.rerank(request)
    assert isinstance(answer, RerankResult)
    short = await family.rerank(RerankRequest("tiny", "sport", ("a b",) * 3))
    assert isinstance(short, RerankResult)
    assert answer.items == pytest.approx(short.items, abs=1e-5)
    assert answer.tokens == short.tokens


async def test_heavy_documents_are_read_a_few_at_a_time(
    family: Reranking, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts: list[Pairs] = []

    def read(tokenizer: Any, pairs: Pairs, *given: Any, **options: Any) -> Any:
        parts.append(pairs)
        return tokenize_pairs(tokenizer, pairs, *given, **options)

    monkeypatch.setattr("deployments.encoders.text_encoders.tokenize_pairs", read)
    documents = ("a " * (PART_CHARACTERS // 5), *DOCUMENTS) * 3
    answer = await family.rerank(RerankRequest("tiny", "sport", documents, truncate=True))
    assert isinstance(answer, RerankResult)
    assert all(isinstance(score, float) for score in answer.items)
    assert [len(part.seconds) for part in parts] == [10, 5]
    assert tuple(text for part in parts for text in part.seconds) == documents


@pytest.mark.parametrize("truncate", [False, True])
async def test_a_query_that_is_too_long_is_at_fault_itself(
    family: Reranking, truncate: bool
) -> None:
    answer = await family.rerank(RerankRequest("tiny", LONG, ("a",), truncate))
    assert isinstance(answer, Problem)
    assert answer.field == "query"


async def test_a_classifier_of_several_labels_is_no_reranker(tmp_path: Path) -> None:
    model = BertForSequenceClassification(bert_config("glad", "sad"))
    folder = saved(model, tmp_path / "two")
    with pytest.raises(ValueError, match="2 outputs"):
        await started(Reranking(family_of(folder, "rerank")))
