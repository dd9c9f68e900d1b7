"""Vision-language models in the torch engine: greedy texts are those of ``generate``."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import (
    AutoModelForImageTextToText,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
)

from deployments.engine.image_inputs import ImageInputs
from deployments.engine.image_text_forward import ImageTextForward
from deployments.engine.interface import Engine, EngineNotLoaded
from deployments.models.load_errors import reason_of
from deployments.seam.generation import ChatImage, ChatMessage
from tests.deployments import tiny, tiny_vlm
from tests.deployments.engine.reading import Reader
from tests.deployments.engine.tiny_models import opened
from tests.deployments.pictures import noise

NEW = 12


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_vlm.vision_language(tmp_path_factory.mktemp("vlm") / "model")


@pytest.fixture(scope="module")
def engine(folder: Path) -> Iterator[Engine]:
    made = opened(folder, reads_images=True)
    yield made
    made.close()


@pytest.fixture(scope="module")
def model(folder: Path) -> Any:
    return AutoModelForImageTextToText.from_pretrained(folder)


def chat(engine: Engine, *seeds: int) -> tuple[list[int], Any]:
    """The prompt of a text with an image of noise before each of its first words."""
    assert engine.codec.images is not None
    files = [noise(seed) for seed in seeds]
    images = tuple(ChatImage(file, 3 * place) for place, file in enumerate(files))
    rendered = engine.codec.render_chat([ChatMessage("user", "w1 w2 w3", images=images)])
    pictures = [Image.open(io.BytesIO(file)).convert("RGB") for file in files]
    return engine.codec.images.encode(rendered, pictures)


def generated(model: Any, ids: list[int], inputs: Any, new: int = NEW) -> list[int]:
    prompt = torch.tensor([ids])
    out = model.generate(
        input_ids=prompt,
        attention_mask=torch.ones_like(prompt),
        **{name: torch.from_numpy(each) for name, each in inputs.items()},
        do_sample=False,
        max_new_tokens=new,
        eos_token_id=None,
    )
    return list(out[0, len(ids) :].tolist())


def reader(engine: Engine, ids: list[int], inputs: Any, **more: Any) -> Reader:
    greedy: dict[str, Any] = {"new": NEW, "temperature": 0.0, "eos_ids": frozenset()}
    return Reader(engine, ids, inputs=inputs, **(greedy | more))


@pytest.mark.parametrize("seeds", [(1,), (2,), (1, 2)])
def test_a_text_about_images_is_that_of_generate(
    engine: Engine, model: Any, seeds: tuple[int, ...]
) -> None:
    ids, inputs = chat(engine, *seeds)
    about = reader(engine, ids, inputs)
    about.read()
    assert about.ids == generated(model, ids, inputs)


def test_images_change_the_text_and_their_tokens_are_in_the_prompt(engine: Engine) -> None:
    (one, first), (same, second) = chat(engine, 1), chat(engine, 2)
    assert one == same
    text = engine.codec.encode_chat([ChatMessage("user", "w1 w2 w3")])
    assert len(one) == len(text) + tiny_vlm.IMAGE_TOKENS
    readers = [reader(engine, one, inputs) for inputs in (first, second)]
    for each in readers:
        each.read()
    assert readers[0].ids != readers[1].ids


def test_a_chat_without_images_is_that_of_generate_too(engine: Engine, model: Any) -> None:
    ids = engine.codec.encode_chat([ChatMessage("user", "w1 w2 w3")])
    text = reader(engine, ids, {})
    text.read()
    assert text.ids == generated(model, ids, {})


def test_a_preempted_text_goes_on_about_its_image(engine: Engine, model: Any) -> None:
    """A new request goes first, and the KV cache of the other is lost."""
    ids, inputs = chat(engine, 3)
    other_ids, others = chat(engine, 4)
    neighbour = reader(engine, other_ids, others, new=40, request="new")
    long = reader(
        engine, ids, inputs, new=60, request="old", on_token=lambda t: _once(neighbour, t.position)
    )
    long.start()
    long.wait()
    neighbour.wait()
    assert long.ids == generated(model, ids, inputs, 60)
    assert neighbour.ids == generated(model, other_ids, others, 40)


def _once(neighbour: Reader, position: int) -> None:
    if position == 20:
        neighbour.start()


def test_a_model_with_positions_of_its_own_for_images_says_what_generate_says() -> None:
    """Also without an image behind one: the model itself remembers the last one's positions."""
    torch.manual_seed(0)
    rope = {"mrope_section": [4, 6, 6], "rope_type": "default", "rope_theta": 10000.0}
    config = Qwen2_5_VLConfig(
        text_config={**tiny.SIZES, "num_key_value_heads": 2, "rope_parameters": rope},
        vision_config={
            "hidden_size": 32,
            "depth": 2,
            "num_heads": 2,
            "out_hidden_size": tiny.SIZES["hidden_size"],
            "patch_size": 8,
            "intermediate_size": 32,
            "window_size": 32,
            "fullatt_block_indexes": [1],
        },
        image_token_id=50,
        video_token_id=51,
        vision_start_token_id=52,
        vision_end_token_id=53,
    )
    built: Any = Qwen2_5_VLForConditionalGeneration
    model = built(config).eval()
    seen = [5, 6, 52, *[50] * 6, 53, 8, 9]
    pixels = np.random.default_rng(0).normal(size=(24, 3 * 2 * 8 * 8)).astype(np.float32)
    inputs = {
        "pixel_values": pixels,
        "image_grid_thw": np.array([[1, 4, 6]]),
        "mm_token_type_ids": np.array([[int(token == 50) for token in seen]]),
    }
    for ids, given in ((seen, inputs), ([5, 6, 7, 8], {}), (seen, inputs)):
        ours = greedy(ImageTextForward(model, given, len(ids)), ids)
        assert ours == generated(model, ids, given)


def greedy(forward: ImageTextForward, ids: list[int]) -> list[int]:
    found: list[int] = []
    with torch.inference_mode():
        for _ in range(NEW):
            found.append(int(forward(found[-1:] or ids, 1)[0].argmax()))
    return found


def test_a_template_that_shows_no_images_is_refused(tmp_path: Path) -> None:
    blind = tiny_vlm.TEMPLATE.replace("<image>", "")
    folder = tiny_vlm.vision_language(tmp_path / "blind", blind)
    with pytest.raises(EngineNotLoaded, match="its chat template shows no images") as error:
        opened(folder, reads_images=True)
    assert reason_of(error.value) == "its chat template shows no images"


def test_a_window_without_room_for_an_image_is_refused(folder: Path) -> None:
    with pytest.raises(EngineNotLoaded, match="an image takes 12 tokens of a window of 12"):
        opened(folder, reads_images=True, window=12)


def test_a_processor_that_needs_torchvision_is_refused_with_that_reason(
    folder: Path, tmp_path: Path
) -> None:
    """Those that read videos as well do."""
    tiny.tokenizer().save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "qwen2_vl"}))
    images = {
        "image_processor_type": "Qwen2VLImageProcessor",
        "processor_class": "Qwen2VLProcessor",
    }
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(images))
    with pytest.raises(EngineNotLoaded) as error:
        ImageInputs.from_folder(tmp_path)
    assert "torchvision" in reason_of(error.value)
    assert "not supported here" in reason_of(error.value)
