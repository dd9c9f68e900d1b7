from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from deployments.classification import Classification
from deployments.seam.classification import (
    ClassificationRequest,
    ClassificationResult,
    ScoreFunction,
)
from deployments.seam.problems import Problem
from tests.deployments import tiny
from tests.deployments.conftest import Configured

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.usefixtures("in_replica")]

TEXTS = (tiny.text(*range(10)), tiny.text(3), tiny.text(20, 21, 22), tiny.text(3, 4))


@pytest.fixture
def family(configured: Configured, classifier_folder: Path) -> Classification:
    return Classification(configured(classifier_folder))


async def scores(
    family: Classification, *texts: str, truncate: bool = False
) -> list[dict[str, float] | Problem]:
    answer = await family.classify(ClassificationRequest("tiny", texts, truncate))
    assert isinstance(answer, ClassificationResult)
    return [
        item if isinstance(item, Problem) else {label.label: label.score for label in item}
        for item in answer.items
    ]


async def good(family: Classification, *texts: str, **fields: Any) -> list[dict[str, float]]:
    answers = await scores(family, *texts, **fields)
    labelled = [answer for answer in answers if not isinstance(answer, Problem)]
    assert len(labelled) == len(texts)
    return labelled


@torch.inference_mode()
def logits(folder: Path, text: str) -> torch.Tensor:
    from transformers import BertForSequenceClassification

    model: Any = BertForSequenceClassification.from_pretrained(folder)
    answer: torch.Tensor = model.eval()(**tiny.tokenizer()(text, return_tensors="pt")).logits[0]
    return answer


async def test_every_text_gets_every_label_with_the_models_probability(
    family: Classification, classifier_folder: Path
) -> None:
    for text, answer in zip(TEXTS, await good(family, *TEXTS), strict=True):
        expected = logits(classifier_folder, text).softmax(-1).tolist()
        assert answer == pytest.approx(
            dict(zip(("glad", "sad", "mad"), expected, strict=True)), abs=1e-5
        )
        assert sum(answer.values()) == pytest.approx(1.0, abs=1e-5)


async def test_labels_are_best_first(family: Classification) -> None:
    answers = await good(family, *TEXTS)
    for answer in answers:
        assert list(answer.values()) == sorted(answer.values(), reverse=True)
    assert len({next(iter(answer)) for answer in answers}) > 1


async def test_a_model_of_several_labels_a_text_judges_each_by_itself(
    configured: Configured, tmp_path: Path
) -> None:
    folder = tiny.classifier(tmp_path / "model", problem_type="multi_label_classification")
    family = Classification(configured(folder))
    for text, answer in zip(TEXTS, await good(family, *TEXTS), strict=True):
        expected = logits(folder, text).sigmoid().tolist()
        assert answer == pytest.approx(
            dict(zip(("glad", "sad", "mad"), expected, strict=True)), abs=1e-5
        )


async def test_a_text_that_is_too_long_is_a_problem_of_its_own(family: Classification) -> None:
    longest, longer = (tiny.text(*range(count)) for count in (14, 15))
    first, bad, last = await scores(family, longest, longer, TEXTS[1])
    assert isinstance(bad, Problem)
    assert "17 tokens" in bad.message
    alone = await good(family, longest, TEXTS[1])
    assert first == pytest.approx(alone[0], abs=1e-5)
    assert last == pytest.approx(alone[1], abs=1e-5)


async def test_truncating_judges_the_start_of_a_long_text(family: Classification) -> None:
    (long,) = await good(family, tiny.text(*range(40)), truncate=True)
    (start,) = await good(family, tiny.text(*range(14)))
    assert long == pytest.approx(start)


async def test_robertas_positions_behind_its_padding_id_are_all_that_is_used(
    configured: Configured, tmp_path: Path
) -> None:
    family = Classification(configured(tiny.roberta(tmp_path / "model")))
    longest, longer = (tiny.text(*range(count)) for count in (12, 13))
    fits, too_long = await scores(family, longest, longer)
    assert isinstance(fits, dict)
    assert isinstance(too_long, Problem)
    assert too_long.kind == "context_length"
    assert "length is 14 tokens" in too_long.message


async def test_a_model_that_cannot_be_loaded_is_unavailable(
    configured: Configured, tmp_path: Path
) -> None:
    family = Classification(configured(tmp_path / "nowhere", pinned=False))
    answer = await family.classify(ClassificationRequest("tiny", TEXTS))
    assert isinstance(answer, Problem)
    assert answer.kind == "unavailable"


async def test_a_folder_of_pickles_is_not_loaded(configured: Configured, tmp_path: Path) -> None:
    folder = tiny.classifier(tmp_path / "model")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    family = Classification(configured(folder, pinned=False))
    answer = await family.classify(ClassificationRequest("tiny", TEXTS))
    assert isinstance(answer, Problem)
    assert "no safetensors" in answer.message


@pytest.mark.parametrize("make", [tiny.classifier, tiny.roberta])
async def test_quantised_probabilities_are_close_to_the_models_own(
    configured: Configured, make: Callable[..., Path], tmp_path: Path, quantization: str
) -> None:
    folder = make(tmp_path / "model", initializer_range=0.1)  # so that little is lost
    whole = Classification(configured(folder))
    small = Classification(configured(folder, quantization=quantization))
    ours, theirs = await good(small, *TEXTS), await good(whole, *TEXTS)
    for one, other in zip(ours, theirs, strict=True):
        assert one == pytest.approx(other, abs=0.1)
    assert ours != theirs


async def test_a_request_may_say_what_makes_scores_of_logits(
    family: Classification, classifier_folder: Path
) -> None:
    raw = logits(classifier_folder, TEXTS[0])
    made: dict[ScoreFunction, torch.Tensor] = {
        "none": raw,
        "sigmoid": raw.sigmoid(),
        "softmax": raw.softmax(-1),
    }
    for function, expected in made.items():
        request = ClassificationRequest("tiny", TEXTS[:1], scores=function)
        answer = await family.classify(request)
        assert isinstance(answer, ClassificationResult)
        (item,) = answer.items
        assert not isinstance(item, Problem)
        by_label = {each.label: each.score for each in item}
        named = dict(zip(("glad", "sad", "mad"), expected.tolist(), strict=True))
        assert by_label == pytest.approx(named, abs=1e-5)
