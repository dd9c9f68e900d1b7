"""Chats with images in the generation family, over a tiny vision-language model."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import torch
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor

from deployments.engine.factory import EngineKind, open_engine
from deployments.engine.interface import Engine
from deployments.engine.settings import EngineSettings
from deployments.generation import Generation
from deployments.seam.generation import (
    ChatImage,
    ChatMessage,
    GenerationRequest,
    GenerationResult,
    Sampling,
    TokenChunk,
)
from deployments.seam.problems import Problem
from deployments.seam.tokenization import TokenizeRequest, TokenizeResult
from tests.deployments import tiny_vlm
from tests.deployments.families import family_of, started
from tests.deployments.pictures import noise

pytestmark = pytest.mark.asyncio(loop_scope="session")

NEW = 9
BOUNDS = {"max_waiting_bytes": 60_000, "max_image_pixels": 24_000}


def asked(*files: bytes, text: str = "w1 w2 w3", **more: Any) -> GenerationRequest:
    """A question with images before its words."""
    images = tuple(ChatImage(file, 3 * place) for place, file in enumerate(files))
    request = GenerationRequest(
        "id",
        "tiny",
        messages=(ChatMessage("user", text, images=images),),
        max_new_tokens=NEW,
        ignore_eos=True,
        sampling=Sampling(temperature=0.0),
    )
    return replace(request, **more)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_vlm.vision_language(tmp_path_factory.mktemp("vlm") / "model")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def family(folder: Path) -> AsyncIterator[Generation]:
    """Its engine is in this process."""

    def in_this_process(kind: EngineKind, path: Path, settings: EngineSettings) -> Engine:
        return open_engine(kind, path, replace(settings, own_process=False))

    config = family_of(folder, "generate", "chat", reads_images=True)
    settings = config.settings.model_copy(update=BOUNDS)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("deployments.engine.engine_loader.open_engine", in_this_process)
        made = await started(Generation(replace(config, settings=settings)))
    yield made
    made._models.loaded[0].model.close()


async def test_an_answer_about_an_image_is_that_of_transformers(
    family: Generation, folder: Path
) -> None:
    """Whole and streamed; the tokens of the image count as the prompt's."""
    auto: Any = AutoProcessor  # untyped
    processor = auto.from_pretrained(folder, backend="pil")
    content = [{"type": "image"}, {"type": "text", "text": "w1 w2 w3"}]
    prompt = processor.apply_chat_template(
        [{"role": "user", "content": content}], add_generation_prompt=True
    )
    picture = Image.open(io.BytesIO(noise(1))).convert("RGB")
    inputs = processor(
        images=[picture], text=[prompt], return_tensors="pt", add_special_tokens=False
    )
    model: Any = AutoModelForImageTextToText.from_pretrained(folder)
    with torch.inference_mode():
        ids = model.generate(**inputs, do_sample=False, max_new_tokens=NEW, eos_token_id=None)
    expected = ids[0, inputs["input_ids"].shape[1] :].tolist()
    answer = await family.generate(asked(noise(1)))
    assert isinstance(answer, GenerationResult)
    assert answer.prompt_tokens == inputs["input_ids"].shape[1]
    chunks = [chunk async for chunk in family.stream(asked(noise(1)))]
    tokens = [t for chunk in chunks if isinstance(chunk, TokenChunk) for t in chunk.tokens]
    assert [token.token_id for token in tokens] == expected
    assert "".join(token.text for token in tokens) == answer.choices[0].text


async def test_a_chat_without_images_is_answered_too(family: Generation) -> None:
    answer = await family.generate(asked())
    assert isinstance(answer, GenerationResult)
    with_image = await family.generate(asked(noise(1)))
    assert isinstance(with_image, GenerationResult)
    assert with_image.prompt_tokens == answer.prompt_tokens + tiny_vlm.IMAGE_TOKENS


@pytest.mark.parametrize(
    ("request_", "kind", "field", "message"),
    [
        (asked(noise(1)[:200]), "validation", "prompt", "damaged"),
        (asked(*[noise(1)] * 18), "context_length", "prompt", "leaves no room"),
        (asked(*[noise(1)] * 21), "validation", "prompt", "25200 pixels together"),
        (asked(noise(1), max_new_tokens=120), "context_length", "max_new_tokens", "the prompt has"),
        (asked(noise(1), text="a <image>"), "validation", "prompt", "1 images, but 2 places"),
        (asked(text="a <image>"), "validation", "prompt", "0 images, but 1 places"),
        (asked(noise(1), truncate=True), "validation", "truncate", "cannot be cut"),
        (asked(noise(1), trim_oldest=True), "validation", "trim_oldest", "cannot be cut"),
        (asked(noise(1), keep_last=5), "validation", "keep_last", "cannot be cut"),
    ],
)
async def test_what_cannot_be_read_is_a_problem_of_its_field(
    family: Generation, request_: GenerationRequest, kind: str, field: str, message: str
) -> None:
    problem = await family.generate(request_)
    assert isinstance(problem, Problem), problem
    assert (problem.kind, problem.field) == (kind, field)
    assert message in problem.message


async def test_tensors_beyond_the_limit_are_not_queued(family: Generation) -> None:
    """One request is let in, however large; the second would exceed the limit."""
    stream = family.stream(asked(*[noise(1)] * 4))
    first = await anext(stream)
    assert isinstance(first, TokenChunk)
    refused = await family.generate(asked(noise(2)))
    assert isinstance(refused, Problem)
    assert refused.kind == "overloaded"
    assert isinstance(await family.generate(asked()), GenerationResult)
    await stream.aclose()
    assert isinstance(await family.generate(asked(noise(2))), GenerationResult)


async def test_the_tokens_of_a_chat_with_images_are_those_of_its_prompt(
    family: Generation,
) -> None:
    request = asked(noise(1))
    found = await family.tokenize(TokenizeRequest("tiny", messages=request.messages))
    assert isinstance(found, TokenizeResult)
    answer = await family.generate(request)
    assert isinstance(answer, GenerationResult)
    assert len(found.ids) == answer.prompt_tokens
    assert found.texts.count("<image>") == 4
