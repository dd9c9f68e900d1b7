"""Tiny models of random weights that classify images: by their own labels, and by any."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import (
    CLIPConfig,
    CLIPModel,
    CLIPProcessor,
    CLIPTextConfig,
    CLIPVisionConfig,
    ViTConfig,
    ViTForImageClassification,
)
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

from tests.deployments import tiny
from tests.deployments.tiny import IMAGE_SIZES, SIDE


def vit(folder: Path, **more: Any) -> Path:
    torch.manual_seed(0)
    labels: dict[str, Any] = {"id2label": {0: "cat", 1: "dog", 2: "owl"}}
    config: Any = ViTConfig(image_size=SIDE, patch_size=8, **IMAGE_SIZES, **labels, **more)
    model: Any = ViTForImageClassification(config)
    model.eval().save_pretrained(folder)
    processor: Any = ViTImageProcessorPil(size={"height": SIDE, "width": SIDE})
    processor.save_pretrained(folder)
    return folder


def saved_clip(folder: Path) -> Path:
    torch.manual_seed(0)
    words = tiny.tokenizer()
    text: Any = CLIPTextConfig(
        **IMAGE_SIZES, vocab_size=len(words), max_position_embeddings=16, eos_token_id=3
    )
    image: Any = CLIPVisionConfig(**IMAGE_SIZES, image_size=SIDE, patch_size=8)
    config: Any = CLIPConfig(text_config=text.to_dict(), vision_config=image.to_dict())
    model: Any = CLIPModel(config)
    model.eval().save_pretrained(folder)
    images: Any = CLIPImageProcessorPil(
        size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE}
    )
    processor: Any = CLIPProcessor
    processor(images, words).save_pretrained(folder)
    return folder
