"""The bytes of a checkpoint that is there in several formats."""

from __future__ import annotations

import pytest

from configs.weights import weight_bytes


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
        ({"config.json": 3}, 0),
    ],
)
def test_weights_in_two_formats_count_once(sizes: dict[str, int], expected: int) -> None:
    assert weight_bytes(sizes) == expected
