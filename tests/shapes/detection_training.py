"""Trains the model that finds shapes and draws boxes around them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from tests.shapes.drawing import KINDS, Drawing
from tests.shapes.learning import DRAWINGS, SEED, SIDE, SIZES, drawn, noisy, save, train


def make_detection(folder: Path) -> None:
    """A ``YolosForObjectDetection`` for up to two shapes. It has no tokenizer files.

    Starts from the captions' model, which has to lie beside ``folder``.
    """
    from transformers import YolosConfig, YolosForObjectDetection
    from transformers.models.yolos.image_processing_pil_yolos import YolosImageProcessorPil

    torch.manual_seed(SEED)
    sizes = {**SIZES, "image_size": [SIDE, SIDE], "num_hidden_layers": 3}
    config: Any = YolosConfig(
        **sizes,
        num_detection_tokens=4,
        use_mid_position_embeddings=False,
        id2label=dict(enumerate(KINDS)),
        label2id={kind: index for index, kind in enumerate(KINDS)},
    )
    model: Any = YolosForObjectDetection(config)
    _start(model.vit, folder.with_name("captions"))
    processor: Any = YolosImageProcessorPil(
        size={"height": SIDE, "width": SIDE}, do_pad=False, format="coco_detection"
    )
    drawings = [*drawn(DRAWINGS, shapes=1), *drawn(DRAWINGS // 4, shapes=2)]
    pixels = torch.cat([processor(d.image, return_tensors="pt")["pixel_values"] for d in drawings])
    labels = [_targets(d) for d in drawings]

    def loss(chosen: torch.Tensor) -> torch.Tensor:
        targets = [labels[i] for i in chosen.tolist()]
        value: torch.Tensor = model(pixel_values=noisy(pixels[chosen]), labels=targets).loss
        return value

    train(model, loss, len(drawings), steps=6000, batch=24)
    save(model, folder, processor)


def _start(finder: Any, captions: Path) -> None:
    """Start from the reader of the captions' model, which can tell shapes from grounds already.

    Its layers are the finder's first ones. The tokens that look for objects start at random:
    transformers starts all of them at zero, where nothing tells them apart.
    """
    from transformers import VisionEncoderDecoderModel

    reader: Any = VisionEncoderDecoderModel.from_pretrained(captions).encoder
    known, own = {}, finder.state_dict()
    for name, tensor in reader.state_dict().items():
        for part, here in READER_TO_FINDER.items():
            name = name.replace(part, here)
        if name in own and own[name].shape == tensor.shape:
            known[name] = tensor
    finder.load_state_dict(known, strict=False)
    places = reader.embeddings.position_embeddings[0]
    with torch.no_grad():
        finder.embeddings.position_embeddings[0, : len(places)] = places
        torch.nn.init.normal_(finder.embeddings.detection_tokens, std=0.5)


READER_TO_FINDER = {
    "layers.": "encoder.layer.",
    "attention.q_proj": "attention.attention.query",
    "attention.k_proj": "attention.attention.key",
    "attention.v_proj": "attention.attention.value",
    "attention.o_proj": "attention.output.dense",
    "mlp.fc1": "intermediate.dense",
    "mlp.fc2": "output.dense",
}
"""What transformers calls the same layers in ViT and in YOLOS."""


def _targets(of: Drawing) -> dict[str, torch.Tensor]:
    """Classes, and boxes as centre and size relative to the image."""
    width, height = of.image.size
    boxes = [
        ((a + c) / 2 / width, (b + d) / 2 / height, (c - a) / width, (d - b) / height)
        for a, b, c, d in (shape.box for shape in of.shapes)
    ]
    classes = torch.tensor([KINDS.index(shape.kind) for shape in of.shapes])
    return {"class_labels": classes, "boxes": torch.tensor(boxes)}
