"""Images as the client sends them: bare, in base64, and twice with a question."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from PIL import Image

from deployments.seam import vision
from deployments.seam.captioning import CaptionRequest, CaptionResult
from deployments.seam.classification import ClassificationResult, LabelScore
from deployments.seam.problems import Problem
from tests.deployments.pictures import encoded
from tests.serve_app.ingress.routes.huggingface import hub
from tests.serve_app.ingress.routes.huggingface.hub import MODEL
from tests.serve_app.local_handle import Family

FILE = encoded(Image.new("RGB", (4, 4), "red"))
TEXT = base64.b64encode(FILE).decode()
LABELS = ClassificationResult(((LabelScore("red", 0.75), LabelScore("blue", 0.25)),))
SHOWN = [{"label": "red", "score": 0.75}, {"label": "blue", "score": 0.25}]


async def sent(family: Family, task: str, content: bytes, **headers: str) -> Any:
    async with hub.client(family, *task.split()) as client:
        return await client.post(MODEL, content=content, headers=headers)


@pytest.mark.parametrize(
    "headers", [{}, {"content-type": "image/png"}, {"content-type": "application/octet-stream"}]
)
async def test_a_bare_file_is_classified(headers: dict[str, str]) -> None:
    family = Family(LABELS)
    assert (await sent(family, "image_classify", FILE, **headers)).json() == SHOWN
    assert family.asked == [vision.ImageClassificationRequest(MODEL, FILE)]


@pytest.mark.parametrize("inputs", [TEXT, f"data:image/png;base64,{TEXT}"])
async def test_an_image_with_parameters_is_base64(inputs: str) -> None:
    family = Family(LABELS)
    parameters = {"top_k": 2, "function_to_apply": "none"}
    body = {"inputs": inputs, "parameters": parameters}
    assert await hub.post(family, "image_classify", body) == SHOWN
    assert family.asked == [vision.ImageClassificationRequest(MODEL, FILE, 2, scores="none")]


async def test_labels_of_ones_own_are_scored_against_an_image() -> None:
    family = Family(LABELS)
    parameters = {"candidate_labels": ["blue", "red"], "hypothesis_template": "All {}."}
    body = {"inputs": TEXT, "parameters": parameters}
    assert await hub.post(family, "image_zero_shot", body) == SHOWN
    (asked,) = family.asked
    assert asked == vision.ImageClassificationRequest(MODEL, FILE, 2, ("blue", "red"), "All {}.")


async def test_boxes_are_in_whole_pixels() -> None:
    family = Family(vision.DetectionResult((vision.Detection("cat", 0.5, 0.4, 1.6, 10.0, 20.2),)))
    body = {"inputs": TEXT, "parameters": {"threshold": 0.0}}
    box = {"xmin": 0, "ymin": 2, "xmax": 10, "ymax": 20}
    answer = await hub.post(family, "detect", body)
    assert answer == [{"label": "cat", "score": 0.5, "box": box}]
    assert family.asked == [vision.DetectionRequest(MODEL, FILE, 0.0)]


async def test_segments_have_masks_and_their_parameters_are_passed_on() -> None:
    sky = vision.ImageSegment("sky", None, "iVBORw0KGgo=")
    family = Family(vision.SegmentationResult((sky,)), vision.SegmentationResult(()))
    shown = {"label": "sky", "score": None, "mask": "iVBORw0KGgo="}
    assert (await sent(family, "segment", FILE)).json() == [shown]
    given = {"mask_threshold": 0.2, "overlap_mask_area_threshold": 0.3, "threshold": 0.4}
    body = {"inputs": TEXT, "parameters": {"subtask": "instance", **given}}
    assert await hub.post(family, "segment", body) == []
    assert family.asked == [
        vision.SegmentationRequest(MODEL, FILE),
        vision.SegmentationRequest(MODEL, FILE, "instance", 0.4, 0.2, 0.3),
    ]


async def test_a_parameter_that_the_models_side_refuses_is_named() -> None:
    family = Family(Problem("validation", "has no effect", "mask_threshold"))
    body = {"inputs": TEXT, "parameters": {"mask_threshold": 0.2}}
    response = await hub.refused(family, "segment", body)
    assert response.status_code == 400
    assert list(response.json()["details"]["field_errors"]) == ["parameters.mask_threshold"]


async def test_an_image_in_words() -> None:
    family = Family(CaptionResult("a red square", 3), CaptionResult("a", 1))
    (answer,) = (await sent(family, "caption", FILE)).json()
    assert answer == {"generated_text": "a red square"}
    body = {"inputs": TEXT, "parameters": {"max_new_tokens": 1}}
    await hub.post(family, "caption", body)
    first, second = family.asked
    assert (first, second) == (
        CaptionRequest(MODEL, FILE),
        CaptionRequest(MODEL, FILE, max_new_tokens=1),
    )


@pytest.mark.parametrize(
    ("agent", "alone"),
    [
        ("@huggingface/inference/4.13.14 Node.js/22", False),
        ("@huggingface/inference/4.13.15 Node.js/22", True),
        ("@huggingface/inference/5.0 Node.js/24", True),
        ("unknown/None; hf_hub/5.0.0; python/3.12.1", False),
    ],
)
async def test_a_caption_has_the_shape_of_the_clients_version(agent: str, alone: bool) -> None:
    family = Family(CaptionResult("a red square", 3))
    answer = (await sent(family, "caption", FILE, **{"user-agent": agent})).json()
    caption = {"generated_text": "a red square"}
    assert answer == (caption if alone else [caption])


@pytest.mark.parametrize(
    "body",
    [
        {"inputs": TEXT, "parameters": {"top_k": 2}, "question": "What color?", "image": TEXT},
        {"inputs": {"image": TEXT, "question": "What color?"}, "parameters": {"top_k": 2}},
    ],
    ids=["as the client sends it", "as it is documented"],
)
@pytest.mark.parametrize("tasks", ["visual_question", "caption visual_question"])
async def test_a_question_about_an_image(body: dict[str, Any], tasks: str) -> None:
    family = Family(
        vision.VisualQuestionResult(
            (vision.VisualAnswer("red", 0.75), vision.VisualAnswer("blue", None))
        )
    )
    answer = await hub.post(family, tasks, body)
    assert answer == [{"answer": "red", "score": 0.75}, {"answer": "blue", "score": None}]
    assert family.asked == [vision.VisualQuestionRequest(MODEL, FILE, "What color?", 2)]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"inputs": "http://somewhere/cat.png"}, "inputs"),
        ({"inputs": "no base64!"}, "inputs"),
        ({"inputs": TEXT, "parameters": {"top_k": 0}}, "parameters.top_k"),
        ({"inputs": TEXT, "parameters": {"topk": 1}}, "parameters.topk"),
        ({"parameters": {}}, "inputs"),
    ],
)
async def test_what_is_wrong_is_named(body: dict[str, Any], field: str) -> None:
    response = await hub.refused(Family(), "image_classify", body)
    assert response.status_code == 400
    assert list(response.json()["details"]["field_errors"]) == [field]


async def test_a_file_that_is_no_image_is_refused() -> None:
    response = await sent(Family(), "image_classify", b"GIF90a?", **{"content-type": "image/gif"})
    assert response.status_code == 400
    assert "inputs" in response.json()["error"]


async def test_a_file_to_a_model_that_needs_more_is_refused() -> None:
    response = await sent(Family(), "image_zero_shot", FILE, **{"content-type": "image/png"})
    assert response.status_code == 415
