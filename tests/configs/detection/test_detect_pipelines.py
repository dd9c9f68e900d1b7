"""What a pipeline of diffusers is, found out from its files, and which are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from configs.detection import ModelRefusedError
from tests.configs.detection.model_folders import EMPTY, folder, inspected


def pipeline(root: Path, index: Any, weights: str = "unet/a.safetensors") -> Path:
    """A folder of a pipeline of diffusers."""
    made = folder(root, model_index__json=index, model__safetensors=None)
    (made / weights).parent.mkdir(exist_ok=True)
    (made / weights).write_bytes(EMPTY)
    return made


STABLE: dict[str, Any] = {
    "_class_name": "StableDiffusionPipeline",
    "vae": ["diffusers", "AutoencoderKL"],
    "text_encoder": ["transformers", "CLIPTextModel"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "unet": ["diffusers", "UNet2DConditionModel"],
    "scheduler": ["diffusers", "PNDMScheduler"],
}


def test_a_pipeline_of_diffusers_makes_images(tmp_path: Path) -> None:
    parts = {"safety_checker": [None, None], "requires_safety_checker": False}
    found = inspected(pipeline(tmp_path, STABLE | parts))
    assert (found.what, found.weight_bytes) == ("StableDiffusionPipeline", len(EMPTY))
    assert found.kinds[0].tasks == ("image_generate",)


@pytest.mark.parametrize(
    ("index", "weights", "why"),
    [
        (
            STABLE | {"_class_name": "FluxPipeline"},
            "unet/a.safetensors",
            "it is a FluxPipeline; no",
        ),
        (STABLE | {"unet": ["own", "UNet"]}, "unet/a.safetensors", "its unet has code of its own"),
        ({}, "unet/a.safetensors", "names no class"),
        ([], "unet/a.safetensors", "is not an object"),
        (STABLE, "all.safetensors", "no safetensors weights"),
        (STABLE, "unet/a.bin", "no safetensors weights"),
    ],
)
def test_other_pipelines_are_refused_with_what_they_are(
    tmp_path: Path, index: Any, weights: str, why: str
) -> None:
    with pytest.raises(ModelRefusedError, match=why):
        inspected(pipeline(tmp_path, index, weights))


@pytest.mark.parametrize(
    "value",
    [[["x"], "y"], [{}, "y"], ["diffusers", ["y"]], ["diffusers"], [None, "y"], [], {}, "xy", 1],
)
@pytest.mark.parametrize("part", ["unet", "scheduler"])
def test_a_part_that_names_no_class_is_refused(tmp_path: Path, part: str, value: Any) -> None:
    with pytest.raises(ModelRefusedError, match=f"names no library and class for its {part}; no"):
        inspected(pipeline(tmp_path, STABLE | {part: value}))


@pytest.mark.parametrize(
    ("part", "library", "name"),
    [
        ("unet", "diffusers", "StableDiffusionPipeline"),
        ("unet", "stable_diffusion", "StableDiffusionPipeline"),
        ("vae", "diffusers", "KandinskyCombinedPipeline"),
        ("text_encoder", "transformers", "AutoModel"),
        ("scheduler", "diffusers", "StableDiffusionPipeline"),
        ("scheduler", "transformers", "PNDMScheduler"),
        ("prior", "diffusers", "UNet2DConditionModel"),
    ],
)
def test_a_part_of_another_class_is_refused(
    tmp_path: Path, part: str, library: str, name: str
) -> None:
    with pytest.raises(ModelRefusedError, match=f"its {part} is a {name}; no"):
        inspected(pipeline(tmp_path, STABLE | {part: [library, name]}))


@pytest.mark.parametrize("part", [part for part in STABLE if not part.startswith("_")])
def test_a_pipeline_without_a_part_that_it_needs_is_refused(tmp_path: Path, part: str) -> None:
    for number, index in enumerate(
        (STABLE | {part: [None, None]}, {name: STABLE[name] for name in STABLE if name != part})
    ):
        with pytest.raises(ModelRefusedError, match=f"it has no {part}; no"):
            inspected(pipeline(tmp_path / str(number), index))
