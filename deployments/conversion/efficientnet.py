"""Converts EfficientNet-Lite to a checkpoint of transformers' EfficientNet.

Lite networks (https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite) have
ReLU6 in place of swish, and no squeeze-and-excitation. The class of transformers always has the
latter, so its gates are set to be open.
"""

from __future__ import annotations

from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any

from deployments.conversion.errors import ConversionError
from deployments.conversion.files import only_file

if TYPE_CHECKING:
    import torch

LABELS = Path(__file__).with_name("imagenet_labels.txt")
"""ImageNet-1k's classes in order, each with its synonyms."""

SIDE = 224
OPEN = 20.0
"""The bias of each gate, which is a sigmoid: it lets 99.9999998 % through."""

OUTSIDE = {
    "_conv_stem": "efficientnet.embeddings.convolution",
    "_bn0": "efficientnet.embeddings.batchnorm",
    "_conv_head": "efficientnet.encoder.top_conv",
    "_bn1": "efficientnet.encoder.top_bn",
    "_fc": "classifier",
}
IN_A_BLOCK = {
    "_expand_conv": "expansion.expand_conv",
    "_bn0": "expansion.expand_bn",
    "_depthwise_conv": "depthwise_conv.depthwise_conv",
    "_bn1": "depthwise_conv.depthwise_norm",
    "_project_conv": "projection.project_conv",
    "_bn2": "projection.project_bn",
}


def write_checkpoint(origin: Path, folder: Path) -> None:
    """Convert the only ``.pth`` file in ``origin``, of EfficientNet-Lite0. Only tensors are read.

    Raises:
        ConversionError: there is not exactly one such file, or it is of another network.
    """
    from transformers import EfficientNetForImageClassification
    from transformers.models.efficientnet.image_processing_pil_efficientnet import (
        EfficientNetImageProcessorPil,
    )

    model: Any = EfficientNetForImageClassification(_config())
    gates = {k: v for k, v in model.state_dict().items() if ".squeeze_excite." in k}
    weights = {_renamed(name): tensor for name, tensor in _read(origin).items()}
    weights |= {name: _open(name, tensor) for name, tensor in gates.items()}
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise ConversionError(f"the tensors are not EfficientNet-Lite0's: {error}") from error
    model.eval().save_pretrained(folder)
    processor: Any = EfficientNetImageProcessorPil(
        size={"height": SIDE, "width": SIDE},
        resample=3,  # bicubic
        do_center_crop=False,
        image_mean=[127 / 255] * 3,
        image_std=[128 / 255] * 3,
        include_top=False,
    )
    processor.save_pretrained(folder)


def _config() -> Any:
    from transformers import EfficientNetConfig

    labels = LABELS.read_text(encoding="utf-8").splitlines()
    config: Any = EfficientNetConfig
    return config(
        width_coefficient=1.0,
        depth_coefficient=1.0,
        hidden_dim=1280,
        image_size=SIDE,
        hidden_act="relu6",
        batch_norm_eps=1e-3,
        id2label=dict(enumerate(labels)),
        label2id={label: index for index, label in enumerate(labels)},
    )


def _read(origin: Path) -> dict[str, torch.Tensor]:
    import torch

    file = only_file(origin, ".pth")
    try:
        tensors: dict[str, torch.Tensor] = torch.load(file, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        raise ConversionError(f"{file.name} holds more than weights: {error}") from error
    return tensors


def _renamed(name: str) -> str:
    first, *rest = name.split(".")
    try:
        if first == "_blocks":
            number, layer, last = rest
            return f"efficientnet.encoder.blocks.{number}.{IN_A_BLOCK[layer]}.{last}"
        return ".".join((OUTSIDE[first], *rest))
    except (KeyError, ValueError):
        raise ConversionError(f"EfficientNet-Lite0 has no tensor {name!r}") from None


def _open(name: str, gate: torch.Tensor) -> torch.Tensor:
    return gate.new_full(gate.shape, OPEN if name.endswith("expand.bias") else 0.0)
