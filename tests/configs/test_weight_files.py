"""The bytes of a checkpoint that is there in several formats."""

from __future__ import annotations

import pytest

from configs.weights import WeightFormat, min_weight_bytes, weight_bytes


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ({"model.safetensors": 10, "config.json": 3}, 10),
        ({"model-1.safetensors": 10, "vae/model.safetensors": 5}, 15),
        ({"model.safetensors": 10, "pytorch_model.bin": 10, "training_args.bin": 1}, 10),
        ({"pytorch_model.bin": 10}, 10),
        ({"model.safetensors": 40, "model-q4.gguf": 10}, 10),
        ({"model.safetensors": 10, "openvino/model.bin": 10, "original/c.bin": 9}, 10),
        ({"model.safetensors": 10, "consolidated.safetensors": 10}, 10),
        ({"openvino_model.bin": 10, "openvino_model.xml": 1}, 10),
        ({"config.json": 3}, 0),
        (
            {
                "model_index.json": 1,
                "unet/a.safetensors": 10,
                "unet/a.fp16.safetensors": 5,
                "all.safetensors": 30,
                "all.gguf": 2,
            },
            10,
        ),
    ],
)
def test_weights_in_two_formats_count_once(sizes: dict[str, int], expected: int) -> None:
    assert min_weight_bytes(sizes) == expected


@pytest.mark.parametrize(
    ("read", "sizes", "expected"),
    [
        ("safetensors", {"model.safetensors": 40, "model-q4.gguf": 1}, 40),
        ("safetensors", {"model.safetensors": 1, "model-q4.gguf": 40}, 1),
        ("safetensors", {"model-1.safetensors": 10, "vae/model.safetensors": 5}, 15),
        ("safetensors", {"model.safetensors": 10, "pytorch_model.bin": 9, "a.bin": 1}, 10),
        ("safetensors", {"pytorch_model.bin": 40, "2_Dense/model.safetensors": 1}, 41),
        ("safetensors", {"model.safetensors": 10, "2_Dense/pytorch_model.bin": 1}, 11),
        ("safetensors", {"model.safetensors": 10, "original/model.safetensors": 40}, 10),
        ("safetensors", {"model_index.json": 1, "all.safetensors": 40, "unet/a.safetensors": 2}, 2),
        (
            "safetensors",
            {
                "model_index.json": 1,
                "unet/a-1.safetensors": 10,
                "unet/a-2.safetensors": 10,
                "unet/a.fp16.safetensors": 5,
                "vae/a.fp16.safetensors": 2,
                "vae/a.non_ema.safetensors": 4,
            },
            22,
        ),
        ("pickle", {"pytorch_model-1.bin": 10, "pytorch_model-2.bin": 5, "a.bin": 1}, 15),
        ("gguf", {"model-q4.gguf": 10, "config.json": 3}, 10),
    ],
)
def test_the_weights_of_one_format_are_those_of_every_module(
    read: WeightFormat, sizes: dict[str, int], expected: int
) -> None:
    assert weight_bytes(sizes, read) == expected
