"""The captioning family over tiny models that write: bounds, batches, refusals."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    BertConfig,
    BertLMHeadModel,
    BlipConfig,
    BlipForConditionalGeneration,
    BlipForQuestionAnswering,
    BlipProcessor,
    BlipTextLMHeadModel,
    VisionEncoderDecoderConfig,
    VisionEncoderDecoderModel,
    ViTConfig,
)
from transformers.models.blip.image_processing_pil_blip import BlipImageProcessorPil
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

from deployments.captioning import NEW_TOKENS, Captioning
from deployments.seam.captioning import CaptionRequest, CaptionResult
from deployments.seam.problems import Problem
from deployments.seam.vision import VisualQuestionRequest, VisualQuestionResult
from tests.deployments import tiny
from tests.deployments.conftest import Configured
from tests.deployments.families import started
from tests.deployments.forwards import PATIENCE_S
from tests.deployments.held_steps import STALL_S, HeldSteps, check_health_of_slow_steps
from tests.deployments.pictures import noise
from tests.deployments.tiny import IMAGE_SIZES, SIDE

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.usefixtures("in_replica")]


def blip(folder: Path, model_class: Any) -> Path:
    torch.manual_seed(0)
    words = tiny.tokenizer()
    text = {
        **IMAGE_SIZES,
        "vocab_size": len(words),
        "max_position_embeddings": 24,
        "encoder_hidden_size": 32,
        "bos_token_id": 2,
        "eos_token_id": 3,
        "sep_token_id": 3,
        "pad_token_id": 1,
    }
    image = {**IMAGE_SIZES, "image_size": SIDE, "patch_size": 8}
    config: Any = BlipConfig(text_config=text, vision_config=image)
    model_class(config).eval().save_pretrained(folder)
    images: Any = BlipImageProcessorPil(size={"height": SIDE, "width": SIDE})
    processor: Any = BlipProcessor
    processor(images, words).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def captioner(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return blip(tmp_path_factory.mktemp("blip") / "captions", BlipForConditionalGeneration)


@pytest.fixture(scope="session")
def answerer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return blip(tmp_path_factory.mktemp("blip") / "answers", BlipForQuestionAnswering)


@pytest.fixture(scope="session")
def encoder_decoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ViT and BERT, with room for many tokens and no liking for the one that ends a text."""
    torch.manual_seed(0)
    words = tiny.tokenizer()
    image = ViTConfig(**IMAGE_SIZES, image_size=SIDE, patch_size=8)
    text = BertConfig(
        **IMAGE_SIZES,
        vocab_size=len(words),
        max_position_embeddings=4000,
        is_decoder=True,
        add_cross_attention=True,
    )
    config = VisionEncoderDecoderConfig.from_encoder_decoder_configs(image, text)
    config.decoder_start_token_id, config.pad_token_id = 2, 1
    model: Any = VisionEncoderDecoderModel(config)
    model.generation_config.update(
        decoder_start_token_id=2, pad_token_id=1, eos_token_id=None, bos_token_id=None
    )
    folder = tmp_path_factory.mktemp("vit") / "captions"
    model.eval().save_pretrained(folder)
    words.save_pretrained(folder)
    images: Any = ViTImageProcessorPil(size={"height": SIDE, "width": SIDE})
    images.save_pretrained(folder)
    return folder


async def written(family: Captioning, seed: int, **more: Any) -> CaptionResult:
    async with asyncio.timeout(PATIENCE_S):
        answer = await family.caption(CaptionRequest("tiny", noise(seed), **more))
    assert isinstance(answer, CaptionResult), answer
    return answer


async def test_a_caption_is_as_long_as_the_request_lets_it_be(
    configured: Configured, captioner: Path
) -> None:
    family = Captioning(configured(captioner, tasks=("caption",)))
    long = await written(family, 1, max_new_tokens=9)
    short = await written(family, 1, max_new_tokens=4)
    assert short.tokens <= 4 < long.tokens <= 9
    assert long.text.startswith(short.text)


async def test_captions_of_several_requests_are_those_of_each_alone(
    configured: Configured, captioner: Path
) -> None:
    family = Captioning(configured(captioner, {"batch_size": 8}, tasks=("caption",)))
    bounds = (3, 7, 7, 5)
    alone = [await written(family, s, max_new_tokens=most) for s, most in enumerate(bounds)]
    together = await asyncio.gather(
        *(written(family, s, max_new_tokens=most) for s, most in enumerate(bounds))
    )
    assert together == alone


async def test_a_caption_begins_as_the_request_says(
    configured: Configured, captioner: Path
) -> None:
    family = Captioning(configured(captioner, tasks=("caption",)))
    caption = await written(family, 1, prompt="w3 w4", max_new_tokens=3)
    assert caption.text.startswith("w3 w4")


async def test_more_tokens_than_the_model_has_room_for_are_refused(
    configured: Configured, captioner: Path
) -> None:
    family = Captioning(configured(captioner, tasks=("caption",)))
    answer = await family.caption(CaptionRequest("tiny", noise(1), max_new_tokens=500))
    assert isinstance(answer, Problem)
    assert (answer.kind, answer.field) == ("validation", "max_new_tokens")


async def test_a_question_is_answered_in_words_without_a_score(
    configured: Configured, answerer: Path
) -> None:
    family = Captioning(configured(answerer, tasks=("visual_question",)))
    async with asyncio.timeout(PATIENCE_S):
        answers = [
            await family.answer_question(VisualQuestionRequest("tiny", noise(1), question))
            for question in ("w1 w2", "w1 w2", "w30 w31 w32 w33")
        ]
    assert all(isinstance(a, VisualQuestionResult) and a.items[0].score is None for a in answers)
    assert answers[0] == answers[1] != answers[2]


async def test_a_question_that_is_too_long_is_refused(
    configured: Configured, answerer: Path
) -> None:
    family = Captioning(configured(answerer, tasks=("visual_question",)))
    long = " ".join(["w1"] * 60)
    answer = await family.answer_question(VisualQuestionRequest("tiny", noise(1), long))
    assert isinstance(answer, Problem)
    assert (answer.kind, answer.field) == ("validation", "question")


async def test_a_model_that_cannot_do_its_tasks_is_refused(
    configured: Configured, answerer: Path
) -> None:
    with pytest.raises(ValueError, match="writes no captions"):
        await started(Captioning(configured(answerer, tasks=("caption",))))


async def test_no_caption_is_longer_than_the_settings_say_however_large_the_window(
    configured: Configured, encoder_decoder: Path
) -> None:
    config = configured(encoder_decoder, {"decode_max_new_tokens": 20}, tasks=("caption",))
    family = Captioning(config)
    answer = await family.caption(CaptionRequest("tiny", noise(1), max_new_tokens=21))
    assert isinstance(answer, Problem)
    assert (answer.kind, answer.field) == ("validation", "max_new_tokens")
    longest = await written(family, 1, max_new_tokens=20)
    assert longest == await written(family, 1)


async def test_a_caption_is_bounded_where_neither_request_nor_model_says_so(
    configured: Configured, encoder_decoder: Path
) -> None:
    family = Captioning(configured(encoder_decoder, tasks=("caption",)))
    assert (await written(family, 1)).text == (await written(family, 1, max_new_tokens=64)).text
    assert NEW_TOKENS == 64


CAPTION = CaptionRequest("tiny", noise(1), max_new_tokens=12)
QUESTION = VisualQuestionRequest("tiny", noise(1), "w1 w2")
WRITERS = [
    ("captioner", BlipTextLMHeadModel, CAPTION),
    ("encoder_decoder", BertLMHeadModel, CAPTION),
    ("answerer", BlipTextLMHeadModel, QUESTION),
]


@pytest.mark.parametrize(("folder", "decoder", "asked"), WRITERS)
async def test_a_text_that_nobody_waits_for_any_more_ends_at_its_next_token(
    configured: Configured,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    folder: str,
    decoder: Any,
    asked: CaptionRequest | VisualQuestionRequest,
) -> None:
    question = isinstance(asked, VisualQuestionRequest)
    tasks = ("visual_question" if question else "caption",)
    family = Captioning(configured(request.getfixturevalue(folder), tasks=tasks))
    ask: Any = family.answer_question if question else family.caption
    held = HeldSteps(monkeypatch, decoder)
    await held.cancel(asyncio.create_task(ask(asked)), step=3)
    async with asyncio.timeout(PATIENCE_S):
        await ask(asked)
        whole = held.taken - 3
        await ask(asked)
    assert whole > 4
    assert held.taken == 3 + whole + whole


@pytest.mark.parametrize(("folder", "decoder", "asked"), WRITERS)
async def test_a_text_is_healthy_while_its_tokens_come_however_long_it_takes(
    configured: Configured,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    folder: str,
    decoder: Any,
    asked: CaptionRequest | VisualQuestionRequest,
) -> None:
    question = isinstance(asked, VisualQuestionRequest)
    tasks = ("visual_question" if question else "caption",)
    settings = {"stall_timeout_s": STALL_S}
    config = configured(request.getfixturevalue(folder), settings, tasks=tasks, pinned=True)
    family = await started(Captioning(config))
    ask: Any = family.answer_question if question else family.caption
    held = HeldSteps(monkeypatch, decoder)
    await check_health_of_slow_steps(family, held, ask(asked))
