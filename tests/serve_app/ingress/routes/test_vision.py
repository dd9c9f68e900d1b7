"""The native routes of vision, over families that need no model."""

from __future__ import annotations

import base64
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from PIL import Image

from configs.profile import Profile
from configs.settings import Settings
from deployments.seam import vision
from deployments.seam.captioning import CaptionRequest, CaptionResult
from deployments.seam.classification import ClassificationResult, LabelScore
from deployments.seam.problems import Problem
from serve_app.ingress.app import create_app, routers_of
from serve_app.ingress.catalog import Catalog
from serve_app.ingress.cluster.deployment_client import DeploymentClient
from serve_app.ingress.routes.context import Services
from tests.deployments.pictures import encoded
from tests.serve_app import house
from tests.serve_app.local_handle import Family, LocalHandle

VISION = f"{house.NATIVE}/vision"
TASKS = {
    "vision": {
        "house/labels": "image_classify",
        "house/any": "image_zero_shot",
        "house/answers": "visual_question",
        "house/boxes": "detect",
        "house/masks": "segment",
    },
    "captioning": {"house/captions": "caption"},
}


PNG = encoded(Image.new("RGB", (4, 3), "red"))
TEXT = base64.b64encode(PNG).decode()


def _profile() -> Profile:
    families = [
        {
            "name": name,
            "deployment": f"deployments.{name}:{name.capitalize()}",
            "routers": ["serve_app.ingress.routes.vision:router"],
            "models": [
                {"name": model, "tasks": [task], "pinned": True, "source": house.SOURCE}
                for model, task in models.items()
            ],
        }
        for name, models in TASKS.items()
    ]
    return Profile.model_validate({"name": "house", "families": families})


def application(family: Family | None = None, captioning: Family | None = None) -> FastAPI:
    profile, settings = _profile(), Settings()
    handles = {
        "vision": LocalHandle(family or Family()),
        "captioning": LocalHandle(captioning or Family()),
    }
    served = Services(
        Catalog(profile, settings),
        DeploymentClient(handles, settings.request_timeout_s),
        settings,
        house.Ready(),
    )
    return create_app(served, routers_of(profile))


async def sent(app: FastAPI, route: str, **request: Any) -> httpx.Response:
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://house") as client:
        return await client.post(f"{VISION}/{route}", **request)


FILE = {"files": {"image": ("a.png", PNG, "image/png")}}


async def test_labels_come_with_the_model_and_what_every_answer_has() -> None:
    family = Family(ClassificationResult(((LabelScore("daisy", 0.75), LabelScore("bee", 0.25)),)))
    answer = (await sent(application(family), "classify?top_k=2", **FILE)).json()
    assert answer["classifications"] == [
        {"label": "daisy", "confidence": 0.75},
        {"label": "bee", "confidence": 0.25},
    ]
    assert answer["model"] == "house/labels"
    assert {"request_id", "execution_time"} <= set(answer)
    assert family.asked == [vision.ImageClassificationRequest("house/labels", PNG, 2)]


async def test_a_caption_says_how_many_tokens_it_took() -> None:
    family = Family(CaptionResult("a red circle", 4))
    answer = (await sent(application(captioning=family), "caption", json={"image": TEXT})).json()
    assert answer["caption"] == "a red circle"
    assert answer["usage"]["completion_tokens"] == 4
    assert family.asked == [CaptionRequest("house/captions", PNG)]


async def test_an_answer_has_a_confidence_only_where_the_model_has_one() -> None:
    sure = vision.VisualQuestionResult((vision.VisualAnswer("red", 0.9),))
    written = vision.VisualQuestionResult((vision.VisualAnswer("red", None),))
    family = Family(sure, written)
    app = application(family)
    body = {"image": f"data:image/png;base64,{TEXT}", "question": "What color is it?"}
    first, second = [(await sent(app, "question", json=body)).json() for _ in range(2)]
    assert (first["answer"], first["confidence"]) == ("red", 0.9)
    assert second["answer"] == "red"
    assert "confidence" not in second
    assert family.asked[0] == vision.VisualQuestionRequest(
        "house/answers", PNG, "What color is it?"
    )


async def test_detections_have_boxes_and_the_threshold_is_passed_on() -> None:
    family = Family(vision.DetectionResult((vision.Detection("circle", 0.8, 1.0, 2.0, 3.5, 4.0),)))
    answer = (await sent(application(family), "detect", **FILE, data={"threshold": "0.25"})).json()
    box = {"xmin": 1.0, "ymin": 2.0, "xmax": 3.5, "ymax": 4.0}
    assert answer["detections"] == [{"label": "circle", "confidence": 0.8, "box": box}]
    assert family.asked == [vision.DetectionRequest("house/boxes", PNG, 0.25)]


async def test_segments_have_masks_and_a_form_may_have_the_thresholds() -> None:
    cat = vision.ImageSegment("cat", 0.9, "iVBORw0KGgo=")
    family = Family(vision.SegmentationResult((cat,)))
    form = {"subtask": "panoptic", "threshold": "0.25"}
    answer = (await sent(application(family), "segment", **FILE, data=form)).json()
    assert answer["segments"] == [{"label": "cat", "score": 0.9, "mask": "iVBORw0KGgo="}]
    assert answer["model"] == "house/masks"
    assert family.asked == [vision.SegmentationRequest("house/masks", PNG, "panoptic", 0.25)]


async def test_a_file_that_the_family_cannot_decode_is_a_400_on_the_image() -> None:
    family = Family(Problem("validation", "the image is damaged or cut short", "image"))
    response = await sent(application(family), "detect", **FILE)
    assert response.status_code == 400
    assert set(response.json()["details"]["field_errors"]) == {"image"}


@pytest.mark.parametrize("route", ["classify", "caption", "question", "detect", "segment"])
async def test_what_is_no_image_never_reaches_a_family(route: str) -> None:
    more = {"question": "What?"} if route == "question" else {}
    app = application()
    for image in ("https://example.org/a.png", "not base64!", "", TEXT[:8]):
        response = await sent(app, route, json={"image": image, **more})
        assert response.status_code == 400, image
        assert set(response.json()["details"]["field_errors"]) == {"image"}
    url = await sent(app, route, json={"image": "http://a/b.png", **more})
    assert "does not fetch images" in url.json()["message"]
    text = await sent(app, route, files={"image": ("a.png", b"a text")}, data=more)
    assert text.status_code == 400
    heic = await sent(app, route, files={"image": ("a", b"\0\0\0\x18ftypheic")}, data=more)
    assert heic.status_code == 415


@pytest.mark.parametrize(
    ("route", "fields", "at_fault"),
    [
        ("classify", {"top_k": 0}, "top_k"),
        ("classify", {"question": "what?"}, "question"),
        ("question", {}, "question"),
        ("question", {"question": ""}, "question"),
        ("question", {"question": "x" * 200_000}, "question"),
        ("detect", {"threshold": 1.5}, "threshold"),
        ("segment", {"subtask": "depth"}, "subtask"),
        ("segment", {"mask_threshold": -0.1}, "mask_threshold"),
        ("caption", {"prompt": "a"}, "prompt"),
    ],
)
async def test_a_field_that_is_wrong_is_named(
    route: str, fields: dict[str, Any], at_fault: str
) -> None:
    response = await sent(application(), route, json={"image": TEXT, **fields})
    assert response.status_code == 400
    assert set(response.json()["details"]["field_errors"]) == {at_fault}


async def test_a_model_of_another_task_is_not_found() -> None:
    body = {"image": TEXT, "model_name": "house/labels"}
    response = await sent(application(), "detect", json=body)
    assert response.status_code == 404
    assert response.json()["details"]["available"] == ["house/boxes"]


ANY = ClassificationResult(((LabelScore("cat", 0.75), LabelScore("dog", 0.25)),))
OWN = vision.ImageClassificationRequest("house/any", PNG, 2, ("dog", "cat"))


@pytest.mark.parametrize(
    "request_",
    [
        {"json": {"image": TEXT, "labels": ["dog", "cat"]}},
        {**FILE, "data": {"labels": ["dog", "cat"]}},
        {**FILE, "params": [("labels", "dog"), ("labels", "cat")]},
    ],
    ids=["JSON", "form", "query"],
)
async def test_labels_of_ones_own_come_as_json_or_one_by_one(request_: dict[str, Any]) -> None:
    family = Family(ANY)
    response = await sent(application(family), "zero-shot", **request_)
    assert response.status_code == 200, response.text
    answer = response.json()
    assert answer["predictions"] == [
        {"label": "cat", "score": 0.75},
        {"label": "dog", "score": 0.25},
    ]
    assert answer["model"] == "house/any"
    assert family.asked == [OWN]


@pytest.mark.parametrize("labels", [[], ["cat", "cat"], [" "], ["x"] * 65, "cat", None])
async def test_labels_that_are_none_are_named(labels: Any) -> None:
    body = {"image": TEXT} | ({} if labels is None else {"labels": labels})
    response = await sent(application(), "zero-shot", json=body)
    assert response.status_code == 400
    (named,) = response.json()["details"]["field_errors"]
    assert named.startswith("labels")
