"""Zero-shot labels, scored by entailment (NLI) and by relevance (rerankers)."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import BertForSequenceClassification

from deployments.classification import Classification
from deployments.encoders import zero_shot
from deployments.reranking import Reranking
from deployments.seam.classification import ClassificationResult, ZeroShotRequest
from deployments.seam.problems import Problem
from tests.deployments.families import bert_config, family_of, saved, started, tokenizer

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.usefixtures("in_replica")]

TEXTS = ("a b c", "d", "e f g h")
LABELS = ("sport", "tax")


@pytest.fixture(scope="module")
def nli_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = bert_config("contradiction", "neutral", "entailment")
    model = BertForSequenceClassification(config)
    return saved(model, tmp_path_factory.mktemp("nli") / "model")


@torch.inference_mode()
def logits(folder: Path, first: str, second: str) -> list[float]:
    model: Any = BertForSequenceClassification.from_pretrained(folder)
    model.eval()
    row: list[float] = model(**tokenizer()(first, second, return_tensors="pt")).logits[0].tolist()
    return row


async def asked(family: Classification | Reranking, **fields: object) -> ClassificationResult:
    given: dict[str, object] = {"texts": TEXTS, "labels": LABELS}
    answer = await family.zero_shot(ZeroShotRequest("tiny", **(given | fields)))  # type: ignore[arg-type]
    assert isinstance(answer, ClassificationResult)
    return answer


async def test_probabilities_are_a_softmax_of_entailment_over_the_labels(nli_folder: Path) -> None:
    answer = await asked(Classification(family_of(nli_folder, "zero_shot")))
    for text, item in zip(TEXTS, answer.items, strict=True):
        assert not isinstance(item, Problem)
        entailed = [logits(nli_folder, text, f"This example is {label}.")[2] for label in LABELS]
        expected = torch.tensor(entailed).softmax(-1).tolist()
        found = {label.label: label.score for label in item}
        assert found == pytest.approx(dict(zip(LABELS, expected, strict=True)), abs=1e-5)
        assert item[0].score >= item[1].score


async def test_multi_label_probabilities_are_entailment_against_contradiction(
    nli_folder: Path,
) -> None:
    answer = await asked(Classification(family_of(nli_folder, "zero_shot")), multi_label=True)
    for text, item in zip(TEXTS, answer.items, strict=True):
        assert not isinstance(item, Problem)
        for label in item:
            row = logits(nli_folder, text, f"This example is {label.label}.")
            expected = torch.tensor([row[0], row[2]]).softmax(-1)[1]
            assert label.score == pytest.approx(float(expected), abs=1e-5)


async def test_a_text_that_is_too_long_fails_alone(nli_folder: Path) -> None:
    long = " ".join("abcdefghij" * 2)
    family = Classification(family_of(nli_folder, "zero_shot"))
    items = (await asked(family, texts=("a", long, "b"))).items
    assert [isinstance(item, Problem) for item in items] == [False, True, False]
    cut = (await asked(family, texts=(long,), truncate=True)).items
    assert not isinstance(cut[0], Problem)


async def test_a_model_without_entailment_does_not_load_for_zero_shot(tmp_path: Path) -> None:
    model = BertForSequenceClassification(bert_config("glad", "sad", "mad"))
    folder = saved(model, tmp_path / "model")
    with pytest.raises(ValueError, match="no label for entailment"):
        await started(Classification(family_of(folder, "zero_shot")))
    await started(Classification(family_of(folder, "sentiment")))


async def test_a_reranker_scores_texts_with_the_label_as_query(tmp_path: Path) -> None:
    model = BertForSequenceClassification(bert_config("relevance"))
    folder = saved(model, tmp_path / "model")
    answer = await asked(Reranking(family_of(folder, "zero_shot")))
    for text, item in zip(TEXTS, answer.items, strict=True):
        assert not isinstance(item, Problem)
        scores = [logits(folder, label, text)[0] for label in LABELS]
        expected = dict(zip(LABELS, torch.tensor(scores).softmax(-1).tolist(), strict=True))
        assert {each.label: each.score for each in item} == pytest.approx(expected, abs=1e-5)


async def test_entailment_is_found_by_name() -> None:
    assert zero_shot.entailment_columns(["contradiction", "neutral", "entailment"]) == (2, 0)
    assert zero_shot.entailment_columns(["ENTAILMENT", "NEUTRAL", "CONTRADICTION"]) == (0, 2)
    assert zero_shot.entailment_columns(["entailment", "not_entailment"]) == (0, 1)
    assert zero_shot.entailment_columns(["LABEL_0", "LABEL_1"]) is None
    assert zero_shot.entailment_columns(["entailment"]) is None


async def test_a_template_is_not_a_format_string() -> None:
    request = ZeroShotRequest("tiny", ("x",), ("a{0}",), template="about {}: {0.__class__}")
    assert zero_shot.nli_pairs(request).seconds == ("about a{0}: {0.__class__}",)
    pairs = zero_shot.query_pairs(ZeroShotRequest("tiny", ("x", "y"), ("a", "b")))
    assert pairs.firsts == tuple("abab")


async def test_extreme_scores_give_probabilities_and_no_overflow() -> None:
    far = np.array([-2000.0, 0.0, 2000.0])
    assert zero_shot.sigmoid(far).tolist() == [0.0, 0.5, 1.0]
    assert zero_shot.softmax(far).tolist() == [0.0, 0.0, 1.0]
    both = zero_shot.probabilities_of_nli(np.array([1.0]), np.array([3.0]), multi_label=True)
    assert both[0] == pytest.approx(1 / (1 + math.exp(2.0)))
