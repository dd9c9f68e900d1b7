"""Images of prompts over HTTP: the native route, OpenAI's and Hugging Face's, without a model."""

from __future__ import annotations

import base64
from typing import Any

import httpx
import pytest
from openai import AsyncOpenAI, BadRequestError

from configs.settings import Settings
from deployments.seam.image_generation import ImageGenerationRequest, ImageGenerationResult
from deployments.seam.problems import Problem
from serve_app.ingress.documentation.openapi import completed
from serve_app.ingress.routes.huggingface.image_generation import TextToImageParameters
from serve_app.ingress.routes.image_generation import GenerateImagesBody
from serve_app.ingress.routes.openai.images import OpenAIImagesBody
from serve_app.ingress.validation.fields import Body
from tests.serve_app import house
from tests.serve_app.ingress.routes.huggingface import hub
from tests.serve_app.ingress.routes.one_family import MODEL
from tests.serve_app.local_handle import Family

TASK = "image_generate"
NATIVE = f"{house.NATIVE}/images/generate"
OPENAI = "/v1/images/generations"
HUB = f"/models/{MODEL}"
FILES = (b"\x89PNG one", b"\x89PNG two")
TWO = ImageGenerationResult(FILES, 64, 32, 5)
ONE = ImageGenerationResult(FILES[:1], 64, 64, 5)
UNSAFE = Problem("validation", "the safety checker refused it", "prompt")
BROKEN = Problem("internal", "the model failed")


async def sent(family: Family, path: str, body: Any, **settings: Any) -> httpx.Response:
    async with hub.client(family, TASK, **settings) as client:
        return await client.post(f"http://house{path}", json=body)


async def test_the_native_route_answers_each_image_with_its_seed() -> None:
    family = Family(TWO)
    body = {
        "prompt": "a cat",
        "negative_prompt": "a dog",
        "n": 2,
        "seed": 7,
        "steps": 4,
        "size": "64x32",
        "guidance_scale": 2.5,
        "model_name": MODEL,
    }
    answer = (await sent(family, NATIVE, body)).json()
    assert [base64.b64decode(each) for each in answer["images"]] == list(FILES)
    assert (answer["seeds"], answer["size"], answer["model"]) == ([7, 8], "64x32", MODEL)
    assert {"request_id", "execution_time"} <= set(answer)
    assert "data" not in answer
    expected = ImageGenerationRequest(MODEL, "a cat", (7, 8), "a dog", 64, 32, 4, 2.5)
    assert family.asked == [expected]


async def test_what_is_left_out_is_left_to_the_model_but_for_a_seed() -> None:
    family = Family(ONE, ONE)
    first = (await sent(family, NATIVE, {"prompt": "a cat"})).json()
    second = (await sent(family, NATIVE, {"prompt": "a cat"})).json()
    assert first["seeds"] != second["seeds"]
    assert family.asked[0] == ImageGenerationRequest(MODEL, "a cat", tuple(first["seeds"]))


@pytest.mark.parametrize(
    ("seed", "following"), [(0, 1), (-1, 0), (-(2**63), 1 - 2**63), (2**63 - 1, -(2**63))]
)
async def test_seeds_are_counted_up_from_that_of_the_request(seed: int, following: int) -> None:
    body = {"prompt": "a cat", "n": 2, "seed": seed}
    answer = (await sent(Family(TWO), NATIVE, body)).json()
    assert answer["seeds"] == [seed, following]


async def test_openais_route_answers_in_base64() -> None:
    family = Family(TWO)
    body = {
        "prompt": "a cat",
        "model": MODEL,
        "n": 2,
        "size": "64x32",
        "response_format": "b64_json",
        "quality": "standard",
        "style": "vivid",
        "user": "u",
        "seed": 7,
    }
    answer = (await sent(family, OPENAI, body)).json()
    assert [base64.b64decode(each["b64_json"]) for each in answer["data"]] == list(FILES)
    assert answer["created"] > 1_700_000_000
    assert family.asked == [ImageGenerationRequest(MODEL, "a cat", (7, 8), None, 64, 32)]


async def test_openais_own_client_gets_images_and_its_own_exceptions() -> None:
    async with hub.client(Family(TWO), TASK) as http:
        given: Any = http  # its transport is all that is used of it
        client = AsyncOpenAI(base_url="http://house/v1", api_key="unused", http_client=given)
        answer = await client.images.generate(model=MODEL, prompt="a cat", n=2, size="auto")
        assert answer.data is not None
        assert [base64.b64decode(each.b64_json or "") for each in answer.data] == list(FILES)
        with pytest.raises(BadRequestError) as refused:
            await client.images.generate(model=MODEL, prompt="a cat", response_format="url")
        assert refused.value.param == "response_format"


async def test_hugging_faces_clients_get_the_file_itself() -> None:
    family = Family(ONE, ONE)
    parameters = {
        "negative_prompt": "a dog",
        "height": 32,
        "width": 64,
        "num_inference_steps": 4,
        "guidance_scale": 2.5,
        "seed": 7,
    }
    body = {"inputs": "a cat", "parameters": parameters}
    for path in (HUB, f"{HUB}/pipeline/text-to-image"):
        response = await sent(family, path, body)
        assert (response.content, response.headers["content-type"]) == (FILES[0], "image/png")
        assert response.headers["x-model"] == MODEL
        expected = ImageGenerationRequest(MODEL, "a cat", (7,), "a dog", 64, 32, 4, 2.5)
        assert family.asked.pop() == expected


async def test_a_step_of_a_graph_makes_an_image() -> None:
    step = {"id": "a", "task": "generate_image", "inputs": {"prompt": "$input.text"}}
    body = {"steps": [step], "input": {"text": "a cat"}}
    answer = (await sent(Family(ONE), f"{house.NATIVE}/graph", body)).json()
    assert base64.b64decode(answer["outputs"]["a"]["images"][0]) == FILES[0]


async def test_one_image_may_fail_alone_where_the_answer_has_a_place_for_it() -> None:
    mixed = ImageGenerationResult((FILES[0], UNSAFE), 64, 64, 5)
    first, second = (await sent(Family(mixed), NATIVE, {"prompt": "a", "n": 2})).json()["images"]
    assert base64.b64decode(first) == FILES[0]
    assert second["error"]["message"] == UNSAFE.message
    response = await sent(Family(mixed), OPENAI, {"prompt": "a", "n": 2})
    assert response.status_code == 400
    assert response.json()["error"]["param"] == "prompt"


async def test_if_all_images_fail_the_first_says_why() -> None:
    failed = ImageGenerationResult((UNSAFE, BROKEN), 64, 64, 5)
    response = await sent(Family(failed), NATIVE, {"prompt": "a", "n": 2})
    assert response.status_code == 400
    assert response.json()["details"]["field_errors"] == {"prompt": UNSAFE.message}


BAD: list[tuple[dict[str, Any], str]] = [
    ({"prompt": ""}, "prompt"),
    ({"prompt": " "}, "prompt"),
    ({"prompt": "a" * 101}, "prompt"),
    ({"negative_prompt": "a" * 101}, "negative_prompt"),
    ({"n": 0}, "n"),
    ({"n": 4}, "n"),
    ({"steps": 0}, "steps"),
    ({"steps": 21}, "steps"),
    ({"size": "64"}, "size"),
    ({"size": "64x0"}, "size"),
    ({"size": "1000x1000"}, "size"),
    ({"guidance_scale": -1}, "guidance_scale"),
    ({"colour": "red"}, "colour"),
]
LIMITS = {
    "max_prompt_bytes": 100,
    "max_generated_images": 3,
    "max_generated_pixels": 500_000,
    "max_denoising_steps": 20,
}


@pytest.mark.parametrize(("more", "field"), BAD)
async def test_what_is_out_of_bounds_is_refused_by_name(more: dict[str, Any], field: str) -> None:
    family = Family()
    response = await sent(family, NATIVE, {"prompt": "a cat"} | more, **LIMITS)
    assert response.status_code == 400
    assert set(response.json()["details"]["field_errors"]) == {field}
    assert not family.asked


@pytest.mark.parametrize(
    "more",
    [
        {"response_format": "url"},
        {"quality": "hd"},
        {"style": "natural"},
        {"background": "transparent"},
        {"output_format": "webp"},
        {"moderation": "low"},
        {"stream": True},
        {"size": "1000x1000"},
        {"num_inference_steps": 21},
        {"n": 4},
    ],
)
async def test_what_openais_route_cannot_honour_is_refused_by_name(more: dict[str, Any]) -> None:
    response = await sent(Family(), OPENAI, {"prompt": "a cat"} | more, **LIMITS)
    assert response.status_code == 400
    assert response.json()["error"]["param"] == next(iter(more))


@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        ({"scheduler": "DDIM"}, "scheduler"),
        ({"width": 1000, "height": 1000}, "width"),
        ({"height": 99_999, "width": 99}, "width"),
        ({"num_inference_steps": 21}, "num_inference_steps"),
        ({"target_size": 3}, "target_size"),
    ],
)
async def test_what_hugging_faces_task_cannot_honour_is_refused_by_name(
    parameters: dict[str, Any], field: str
) -> None:
    body = {"inputs": "a cat", "parameters": parameters}
    response = await sent(Family(), HUB, body, **LIMITS)
    assert response.status_code == 400
    assert f"parameters.{field}" in response.json()["error"]


@pytest.mark.parametrize(
    ("problem", "native", "openai", "hub_field"),
    [
        ("width", "size", "size", "parameters.width"),
        ("steps", "steps", "num_inference_steps", "parameters.num_inference_steps"),
    ],
)
async def test_what_the_model_refuses_has_the_routes_own_name(
    problem: str, native: str, openai: str, hub_field: str
) -> None:
    found = Problem("validation", "no", problem)
    response = await sent(Family(found), NATIVE, {"prompt": "a"})
    assert set(response.json()["details"]["field_errors"]) == {native}
    response = await sent(Family(found), OPENAI, {"prompt": "a"})
    assert response.json()["error"]["param"] == openai
    response = await sent(Family(found), HUB, {"inputs": "a"})
    assert set(response.json()["details"]["field_errors"]) == {hub_field}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (GenerateImagesBody, "steps"),
        (OpenAIImagesBody, "num_inference_steps"),
        (TextToImageParameters, "num_inference_steps"),
    ],
)
def test_the_document_has_the_bounds_of_steps_and_images(body: type[Body], field: str) -> None:
    document = {"paths": {}, "components": {"schemas": {"A": body.model_json_schema()}}}
    settings = Settings(max_denoising_steps=7, max_generated_images=3)
    made = completed(document, settings)["components"]["schemas"]["A"]["properties"]
    assert [each.get("maximum") for each in made[field]["anyOf"]] == [7, None]
    if "n" in made:
        assert made["n"]["maximum"] == 3
