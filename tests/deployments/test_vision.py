"""The vision family over tiny models of every kind: batches, refusals, scores."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from deployments.seam.classification import ClassificationResult, LabelScore
from deployments.seam.problems import Problem
from deployments.seam.vision import DetectionRequest, ImageClassificationRequest
from deployments.vision import Vision
from tests.deployments.conftest import Configured
from tests.deployments.families import started
from tests.deployments.forwards import PATIENCE_S
from tests.deployments.pictures import encoded, noise
from tests.deployments.tiny import SIDE
from tests.deployments.tiny_classifiers import saved_clip, vit

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.usefixtures("in_replica")]


@pytest.fixture(scope="session")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return vit(tmp_path_factory.mktemp("vision") / "classifier")


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved_clip(tmp_path_factory.mktemp("vision") / "clip")


async def labelled(family: Vision, seed: int, top_k: int = 5, **more: Any) -> list[LabelScore]:
    request = ImageClassificationRequest("tiny", noise(seed), top_k, **more)
    async with asyncio.timeout(PATIENCE_S):
        answer = await family.classify_image(request)
    assert isinstance(answer, ClassificationResult)
    (item,) = answer.items
    assert not isinstance(item, Problem)
    return list(item)


def scores(labels: Sequence[LabelScore]) -> dict[str, float]:
    return {label.label: label.score for label in labels}


async def test_labels_come_best_first_and_as_many_as_asked_for(
    configured: Configured, classifier: Path
) -> None:
    family = Vision(configured(classifier, tasks=("image_classify",)))
    labels = await labelled(family, 1)
    assert sum(scores(labels).values()) == pytest.approx(1)
    assert [each.score for each in labels] == sorted((e.score for e in labels), reverse=True)
    assert await labelled(family, 1, top_k=1) == labels[:1]


async def test_labels_that_do_not_exclude_each_other_need_not_sum_to_one(
    configured: Configured, tmp_path: Path
) -> None:
    folder = vit(tmp_path / "several", problem_type="multi_label_classification")
    family = Vision(configured(folder, tasks=("image_classify",)))
    assert sum(scores(await labelled(family, 1)).values()) != pytest.approx(1, abs=1e-3)


async def test_a_neighbour_changes_nothing_and_a_bad_one_fails_alone(
    configured: Configured, classifier: Path
) -> None:
    family = Vision(configured(classifier, {"batch_size": 8}, tasks=("image_classify",)))
    alone = [await labelled(family, seed) for seed in range(4)]
    bad = ImageClassificationRequest("tiny", noise(9)[:400])
    together = await asyncio.gather(
        family.classify_image(bad), *(labelled(family, seed) for seed in range(4))
    )
    assert isinstance(together[0], Problem)
    assert (together[0].kind, together[0].field) == ("validation", "image")
    for one, other in zip(alone, together[1:], strict=True):
        assert not isinstance(other, Problem | ClassificationResult)
        assert scores(other) == pytest.approx(scores(one), abs=1e-5)


async def test_a_classifier_refuses_labels_and_clip_wants_them(
    configured: Configured, classifier: Path, clip: Path
) -> None:
    own = Vision(configured(classifier, tasks=("image_classify",)))
    any_label = Vision(configured(clip, tasks=("image_zero_shot",)))
    given = ImageClassificationRequest("tiny", noise(1), labels=("w1",))
    bare = ImageClassificationRequest("tiny", noise(1))
    for family, request in ((own, given), (any_label, bare)):
        answer = await family.classify_image(request)
        assert isinstance(answer, Problem)
        assert (answer.kind, answer.field) == ("validation", "labels")


async def test_clip_scores_any_labels_under_any_template(
    configured: Configured, clip: Path
) -> None:
    family = Vision(configured(clip, tasks=("image_zero_shot",)))
    labels = ("w1", "w2 w3", "w4")
    first = scores(await labelled(family, 1, labels=labels))
    assert set(first) == set(labels)
    assert sum(first.values()) == pytest.approx(1)
    turned = scores(await labelled(family, 1, labels=labels[::-1]))
    assert turned == pytest.approx(first, abs=1e-5)
    assert scores(await labelled(family, 1, labels=labels, template="w9 {}")) != pytest.approx(
        first, abs=1e-3
    )


@pytest.mark.parametrize(
    ("labels", "template", "named"),
    [
        (("w1", " ".join(["w2"] * 15)), "{}", "w2 w2"),
        (("w1", "w2 w3"), " ".join(["w9"] * 13) + " {}", "w2 w3"),
        ((*(f"w{i}" for i in range(9)), "w1 " * 40), None, "w1 w1"),
    ],
)
async def test_a_label_that_the_model_would_not_read_to_its_end_is_refused(
    configured: Configured, clip: Path, labels: tuple[str, ...], template: str | None, named: str
) -> None:
    family = Vision(configured(clip, tasks=("image_zero_shot",)))
    request = ImageClassificationRequest("tiny", noise(1), labels=labels, template=template)
    answer = await family.classify_image(request)
    assert isinstance(answer, Problem)
    assert (answer.kind, answer.field) == ("validation", "labels")
    assert f"the label '{named}" in answer.message
    assert "the model reads up to 16" in answer.message
    assert len(answer.message) < 200


async def test_labels_that_just_fit_are_read_whole(configured: Configured, clip: Path) -> None:
    family = Vision(configured(clip, tasks=("image_zero_shot",)))
    exact = " ".join(["w2"] * 13)
    labels = (f"{exact} w3", f"{exact} w4")
    found = scores(await labelled(family, 1, labels=labels, template="{}"))
    assert found[labels[0]] != pytest.approx(found[labels[1]], abs=1e-4)


async def test_many_requests_with_labels_are_prepared_at_the_same_time(
    configured: Configured, clip: Path
) -> None:
    family = Vision(configured(clip, tasks=("image_zero_shot",)))
    asked = [tuple(f"w{i + j}" for j in range(1 + i % 3)) for i in range(12)]
    alone = [await labelled(family, i, labels=labels) for i, labels in enumerate(asked)]
    together = await asyncio.gather(
        *(labelled(family, i, labels=labels) for i, labels in enumerate(asked))
    )
    for one, other in zip(alone, together, strict=True):
        assert scores(other) == pytest.approx(scores(one), abs=1e-5)


async def test_more_images_than_may_wait_are_refused(
    configured: Configured, classifier: Path
) -> None:
    bounds = {"max_waiting_bytes": 2 * len(noise(1)) + 100}
    family = Vision(configured(classifier, bounds, tasks=("image_classify",)))
    answers = await asyncio.gather(
        *(family.classify_image(ImageClassificationRequest("tiny", noise(i))) for i in range(8))
    )
    refused = [each for each in answers if isinstance(each, Problem)]
    assert 0 < len(refused) < 8
    assert {each.kind for each in refused} == {"overloaded"}
    assert await labelled(family, 1)


async def test_images_wait_as_files_while_the_line_has_no_room_for_their_tensors(
    configured: Configured, classifier: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tensors = 3 * SIDE * SIDE * 4
    bounds = {"max_waiting_bytes": 50_000, "batch_size": 1}
    family = await started(Vision(configured(classifier, bounds, tasks=("image_classify",))))
    small = encoded(Image.new("RGB", (8, 8)))
    request = ImageClassificationRequest("tiny", small)
    (model,) = (loaded.model for loaded in family._models.loaded)
    most = 0
    add = model.lane._scheduler.add

    def watched(waiting: Any) -> None:
        nonlocal most
        add(waiting)
        most = max(most, model.lane._scheduler.nbytes)

    monkeypatch.setattr(model.lane._scheduler, "add", watched)
    async with asyncio.timeout(PATIENCE_S):
        answers = await asyncio.gather(*(family.classify_image(request) for _ in range(60)))
    assert [answer for answer in answers if isinstance(answer, Problem)] == []
    assert tensors <= most <= 50_000


async def test_more_large_images_than_may_wait_to_be_decoded_are_refused(
    configured: Configured, classifier: Path
) -> None:
    large = encoded(Image.new("1", (3000, 2000)))
    bounds = {"max_waiting_pixels": 6_000_000, "image_threads": 1}
    family = Vision(configured(classifier, bounds, tasks=("image_classify",)))
    answers = await asyncio.gather(
        *(family.classify_image(ImageClassificationRequest("tiny", large)) for _ in range(6))
    )
    kinds = [each.kind if isinstance(each, Problem) else "answered" for each in answers]
    assert set(kinds) == {"answered", "overloaded"}
    assert await labelled(family, 1)


@pytest.mark.parametrize("tasks", [("caption",), ("image_classify", "detect")])
async def test_a_model_with_no_task_of_vision_or_several_is_refused(
    configured: Configured, classifier: Path, tasks: tuple[str, ...]
) -> None:
    with pytest.raises(ValueError, match="expected one task of image_classify"):
        await started(Vision(configured(classifier, tasks=tasks)))


async def test_a_model_that_loads_on_demand_fails_with_a_reason_and_is_tried_again(
    configured: Configured, tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "model.safetensors").write_bytes(b"no")
    family = Vision(configured(broken, tasks=("detect",), pinned=False))
    for _ in range(2):
        answer = await family.detect(DetectionRequest("tiny", noise(1)))
        assert isinstance(answer, Problem)
        assert answer.kind == "unavailable"
