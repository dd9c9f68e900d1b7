"""Segmentation models with random weights, and the image processors of their kinds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import (
    DetrConfig,
    DetrForSegmentation,
    Mask2FormerConfig,
    Mask2FormerForUniversalSegmentation,
    MaskFormerConfig,
    MaskFormerForInstanceSegmentation,
    PreTrainedModel,
    SegformerConfig,
    SegformerForSemanticSegmentation,
    SwinConfig,
)
from transformers.models.detr.image_processing_pil_detr import DetrImageProcessorPil
from transformers.models.mask2former.image_processing_pil_mask2former import (
    Mask2FormerImageProcessorPil,
)
from transformers.models.maskformer.image_processing_pil_maskformer import (
    MaskFormerImageProcessorPil,
)
from transformers.models.segformer.image_processing_pil_segformer import (
    SegformerImageProcessorPil,
)

SIDE = 64
LABELS: dict[str, Any] = {"id2label": {i: f"thing {i}" for i in range(6)}}
QUERIES = 12


def _backbone() -> dict[str, Any]:
    stages: dict[str, Any] = {"out_features": ["stage1", "stage2", "stage3", "stage4"]}
    swin: Any = SwinConfig(
        image_size=SIDE,
        embed_dim=8,
        depths=[1, 1, 1, 1],
        num_heads=[1, 1, 1, 1],
        window_size=2,
        **stages,
    )
    return {"backbone_config": swin}


def segformer() -> tuple[PreTrainedModel, Any]:
    config: Any = SegformerConfig(
        num_encoder_blocks=2,
        depths=[1, 1],
        sr_ratios=[2, 1],
        hidden_sizes=[8, 16],
        patch_sizes=[3, 3],
        strides=[2, 2],
        num_attention_heads=[1, 1],
        mlp_ratios=[2, 2],
        decoder_hidden_size=16,
        initializer_range=0.5,
        **LABELS,
    )
    processor: Any = SegformerImageProcessorPil(size={"height": SIDE, "width": SIDE})
    return SegformerForSemanticSegmentation(config), processor


def detr() -> tuple[PreTrainedModel, Any]:
    sizes: dict[str, Any] = {"d_model": 16, "encoder_layers": 1, "decoder_layers": 1}
    heads: dict[str, Any] = {"encoder_attention_heads": 8, "decoder_attention_heads": 8}
    config: Any = DetrConfig(
        num_queries=QUERIES,
        encoder_ffn_dim=16,
        decoder_ffn_dim=16,
        init_std=0.5,
        init_xavier_std=2.0,
        **_backbone(),
        **sizes,
        **heads,
        **LABELS,
    )
    processor: Any = DetrImageProcessorPil(size={"height": SIDE, "width": SIDE})
    return DetrForSegmentation(config), processor


def maskformer() -> tuple[PreTrainedModel, Any]:
    decoder = {"model_type": "detr", "num_queries": QUERIES, "d_model": 16, "init_std": 0.5}
    layers = {"encoder_layers": 1, "decoder_layers": 1, "decoder_ffn_dim": 16}
    heads = {"encoder_attention_heads": 2, "decoder_attention_heads": 2, "encoder_ffn_dim": 16}
    config: Any = MaskFormerConfig(
        fpn_feature_size=32,
        mask_feature_size=32,
        decoder_config={**decoder, **layers, **heads},
        **_backbone(),
        **LABELS,
    )
    processor: Any = MaskFormerImageProcessorPil(size={"height": SIDE, "width": SIDE})
    return MaskFormerForInstanceSegmentation(config), processor


def mask2former() -> tuple[PreTrainedModel, Any]:
    config: Any = Mask2FormerConfig(
        feature_size=32,
        mask_feature_size=32,
        hidden_dim=32,
        encoder_feedforward_dim=16,
        dim_feedforward=16,
        encoder_layers=1,
        decoder_layers=2,
        num_attention_heads=2,
        num_queries=QUERIES,
        **_backbone(),
        **LABELS,
    )
    processor: Any = Mask2FormerImageProcessorPil(size={"height": SIDE, "width": SIDE})
    return Mask2FormerForUniversalSegmentation(config), processor


KINDS: dict[str, Callable[[], tuple[PreTrainedModel, Any]]] = {
    "segformer": segformer,
    "detr": detr,
    "maskformer": maskformer,
    "mask2former": mask2former,
}


def saved_segmenter(folder: Path, kind: str = "segformer") -> Path:
    """A model whose queries do not all find the same, or nothing."""
    torch.manual_seed(0)
    model: Any
    model, processor = KINDS[kind]()
    wide = ("mask", "quer") if kind == "maskformer" else ("mask",)
    with torch.no_grad():
        for name, weights in model.named_parameters():
            if "class_" in name:
                weights.normal_(std=0.5 if kind == "maskformer" else 2.0)
            elif weights.dim() > 1 and any(part in name for part in wide):
                weights.normal_(std=0.3)
    model.eval().save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder
