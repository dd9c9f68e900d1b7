"""Images of prompts over HTTP, with real clients: the packaged pipeline, and one loaded by name."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from huggingface_hub import InferenceClient
from openai import BadRequestError, OpenAI
from PIL import Image

from tests.deployments.tiny_pipelines import SIDE, stable_diffusion
from tests.e2e.conftest import started_graph

NATIVE = "/api/v1/huggingface"
MODEL = "prsm-serve/shapes-generation"
FAMILIES = ("image_generation", "captioning")
ROOT = Path(__file__).parents[2]
PROMPTS = ("a red circle", "a blue square", "a yellow triangle", "a green circle")

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The two families of the embedded profile, and a folder of models that are loaded by name."""
    home = tmp_path_factory.mktemp("graph")
    profile = yaml.safe_load((ROOT / "configs" / "embedded.yaml").read_text())
    profile["families"] = [each for each in profile["families"] if each["name"] in FAMILIES]
    profile["settings"] = {}
    (home / "images.yaml").write_text(yaml.safe_dump(profile))
    stable_diffusion(home / "models" / "tiny-diffusion")
    settings = {"PRSM_HF_MODELS_FOLDER": str(home / "models"), "PRSM_HF_THREADS": "1"}
    arguments = ("--profile", str(home / "images.yaml"))
    with started_graph(home / "up.log", *arguments, **settings) as url:
        yield url


@pytest.fixture(scope="module")
def client(url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=url, timeout=300, trust_env=False) as opened:
        yield opened


@pytest.fixture(scope="module")
def openai_client(url: str) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{url}/v1", api_key="unused", timeout=300, max_retries=0) as opened:
        yield opened


def picture(file: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(file))
    assert image.format == "PNG"
    return image


def answered(client: httpx.Client, route: str, body: dict[str, Any]) -> Any:
    response = client.post(f"{NATIVE}{route}", json=body)
    assert response.status_code == 200, response.text
    return response.json()


def test_a_graph_draws_what_it_is_asked_and_captions_it(client: httpx.Client) -> None:
    """The image goes from one deployment to the other without passing the client."""
    steps = [
        {"id": "draw", "task": "generate_image", "inputs": {"prompt": "$input.text", "seed": 2}},
        {"id": "look", "task": "caption", "inputs": {"image": "$draw.images.0"}},
    ]
    seen = [
        answered(client, "/graph", {"steps": steps, "input": {"text": text}})["outputs"]["look"]
        for text in PROMPTS
    ]
    assert [each["caption"] for each in seen] == list(PROMPTS)


def test_openais_client_gets_images(openai_client: OpenAI, client: httpx.Client) -> None:
    made = openai_client.images.generate(
        model=MODEL,
        prompt=PROMPTS[0],
        n=2,
        size="auto",
        response_format="b64_json",
        extra_body={"seed": 7},
    )
    assert made.data is not None
    files = [base64.b64decode(each.b64_json or "") for each in made.data]
    assert [picture(each).size for each in files] == [(64, 64)] * 2
    assert files[0] != files[1]
    native = answered(client, "/images/generate", {"prompt": PROMPTS[0], "n": 2, "seed": 7})
    assert [base64.b64decode(each) for each in native["images"]] == files
    assert native["seeds"] == [7, 8]


def test_openais_client_is_told_what_cannot_be_honoured(openai_client: OpenAI) -> None:
    with pytest.raises(BadRequestError) as url:
        openai_client.images.generate(prompt="a cat", response_format="url")
    assert url.value.param == "response_format"
    with pytest.raises(BadRequestError) as long:
        openai_client.images.generate(prompt="a red circle " * 20)
    assert (long.value.param, long.value.code) == ("prompt", "context_length_exceeded")


def test_hugging_faces_client_gets_an_image(url: str) -> None:
    hub = InferenceClient(model=f"{url}/models/shapes-generation")
    options: dict[str, Any] = {"seed": 7, "num_inference_steps": 10, "guidance_scale": 2.0}
    image = hub.text_to_image(
        PROMPTS[0], negative_prompt="a blue square", width=64, height=64, **options
    )
    assert image.size == (64, 64)
    assert (
        image.tobytes()
        == hub.text_to_image(PROMPTS[0], negative_prompt="a blue square", **options).tobytes()
    )
    assert image.tobytes() != hub.text_to_image(PROMPTS[0], **options).tobytes()


def test_an_agent_has_a_tool_for_images(client: httpx.Client) -> None:
    body = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/call",
        "params": {"name": "generate_image", "arguments": {"prompt": PROMPTS[0]}},
    }
    result = client.post("/mcp", json=body).json()["result"]
    (place,) = result["structuredContent"]["images"]
    image = result["content"][place["content"]]
    assert (image["type"], image["mimeType"]) == ("image", "image/png")
    assert picture(base64.b64decode(image["data"])).size == (64, 64)


def test_a_pipeline_in_the_folder_of_models_is_loaded_by_its_name(client: httpx.Client) -> None:
    body = {"prompt": PROMPTS[0], "steps": 2, "model_name": "tiny-diffusion"}
    made = answered(client, "/images/generate", body)
    assert (made["model"], made["size"]) == ("tiny-diffusion", f"{SIDE}x{SIDE}")
    loaded = client.get(f"{NATIVE}/models/loaded").json()
    assert {MODEL, "tiny-diffusion"} <= set(loaded["loaded_models"])


def test_images_are_counted(client: httpx.Client) -> None:
    answered(client, "/images/generate", {"prompt": PROMPTS[0]})
    labels = f'model_name="{MODEL}",status="success",task="image_generate"'
    assert f"prsm_huggingface_requests_total{{{labels}}}" in client.get("/metrics").text
