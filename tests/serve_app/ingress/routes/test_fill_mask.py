"""``POST /fill-mask``, a step of graphs, and Hugging Face's task, over a family without a model."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi import FastAPI

from deployments.seam.fill_mask import FillMaskRequest, FillMaskResult, TokenPrediction
from deployments.seam.problems import Problem
from tests.serve_app.ingress.routes.huggingface import hub
from tests.serve_app.ingress.routes.one_family import MODEL, application, field_errors, posted
from tests.serve_app.local_handle import Family

TEXT = "Paris is the [MASK] of France."
FOUND = (
    TokenPrediction(5, "capital", 0.75, "paris is the capital of france."),
    TokenPrediction(7, "heart", 0.125, "paris is the heart of france."),
)
SHOWN = [
    {"token": "capital", "score": 0.75, "sequence": "paris is the capital of france."},
    {"token": "heart", "score": 0.125, "sequence": "paris is the heart of france."},
]
HUB_SHOWN = [
    {**each, "token": token_id, "token_str": each["token"]}
    for token_id, each in zip((5, 7), SHOWN, strict=True)
]
NO_MASK = Problem("validation", "the text has 0 mask tokens; expected one [MASK]")


def app(*answers: Any) -> FastAPI:
    return application(Family(*answers), "fill_mask", "fill_mask")


async def test_a_text_comes_back_with_words_for_its_mask() -> None:
    family = Family(FillMaskResult((FOUND,), (9,)))
    served = application(family, "fill_mask", "fill_mask")
    answer = (await posted(served, "fill-mask", texts=TEXT, top_k=2, truncate=True)).json()
    assert {k: answer[k] for k in ("text", "predictions", "model")} == {
        "text": TEXT,
        "predictions": SHOWN,
        "model": MODEL,
    }
    assert family.asked == [FillMaskRequest(MODEL, (TEXT,), 2, (), True)]


async def test_in_a_list_a_bad_text_fails_alone() -> None:
    answer = (
        await posted(app(FillMaskResult((FOUND, NO_MASK))), "fill-mask", texts=[TEXT, "", "none"])
    ).json()
    assert answer[0] == {"text": TEXT, "predictions": SHOWN}
    assert [each["error"]["message"] for each in answer[1:]] == [
        "the text is empty",
        NO_MASK.message,
    ]


async def test_a_text_without_a_mask_is_a_400_that_names_it() -> None:
    errors = await field_errors(app(FillMaskResult((NO_MASK,))), "fill-mask", texts="none")
    assert "[MASK]" in errors["texts"]


@pytest.mark.parametrize("wrong", [{"top_k": 0}, {"top_k": 101}, {"targets": ["a"]}])
async def test_fields_out_of_range_are_named(wrong: dict[str, Any]) -> None:
    assert list(await field_errors(app(), "fill-mask", texts=TEXT, **wrong)) == list(wrong)


async def test_predictions_that_repeat_too_much_text_are_refused() -> None:
    text = f"[MASK] {'x' * 90_000}"
    errors = await field_errors(app(), "fill-mask", texts=[text] * 100, top_k=5)
    assert "bytes" in errors["top_k"]


async def test_a_step_of_a_graph_fills_in_what_another_step_wrote() -> None:
    steps = [
        {"id": "first", "task": "fill_mask", "inputs": {"texts": TEXT}},
        {"id": "next", "task": "fill_mask", "inputs": {"texts": "$first.predictions.0.sequence"}},
    ]
    family = Family(FillMaskResult((FOUND,)), FillMaskResult((FOUND,)))
    served = application(family, "fill_mask", "fill_mask")
    answer = (await posted(served, "graph", steps=steps)).json()
    assert [each["status"] for each in answer["steps"]] == ["ok", "ok"]
    assert family.asked[1].texts == (SHOWN[0]["sequence"],)


async def test_hugging_faces_clients_get_ids_and_texts_of_tokens() -> None:
    family = Family(FillMaskResult((FOUND,)))
    body = {"inputs": TEXT, "parameters": {"targets": ["capital", "heart"], "top_k": 7}}
    assert await hub.post(family, "fill_mask", body) == HUB_SHOWN
    assert family.asked == [FillMaskRequest(hub.MODEL, (TEXT,), 7, ("capital", "heart"))]


async def test_hugging_faces_clients_get_a_list_for_each_of_several_texts() -> None:
    family = Family(FillMaskResult((FOUND, NO_MASK)))
    good, empty, bad = await hub.post(family, "fill_mask", {"inputs": [TEXT, "", "none"]})
    assert good == HUB_SHOWN
    assert empty["error"] == "the text is empty"
    assert bad == {"error": NO_MASK.message, "error_type": "validation"}


async def test_a_target_that_the_model_refuses_is_named_as_it_was_sent() -> None:
    problem = Problem("validation", "'x y' is 2 tokens of the model; expected one", "targets")
    body = {"inputs": TEXT, "parameters": {"targets": ["x y"]}}
    response = await hub.refused(Family(problem), "fill_mask", body)
    assert response.status_code == 400
    assert list(response.json()["details"]["field_errors"]) == ["parameters.targets"]
