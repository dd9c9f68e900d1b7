"""Tiny models of images and of speech with random weights, as the hub's repositories have them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from tests.deployments.speech.tiny_whisper import tiny_whisper
from tests.deployments.tiny_pipelines import latent_consistency, stable_diffusion
from tests.deployments.tiny_segmenters import saved_segmenter
from tests.deployments.tiny_vlm import vision_language
from tests.long.tiny_hub_texts import END, byte_pairs, labelled, saved, word_pieces

SIDE = 32
SQUARE = {"height": SIDE, "width": SIDE}
SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "initializer_range": 0.5,
}
SEEN: dict[str, Any] = {**SIZES, "image_size": SIDE, "patch_size": 8}


def processed(folder: Path, name: str, **settings: Any) -> None:
    """The file of an image processor, under the name that the repository gives it."""
    kind = "feature_extractor" if name.endswith("FeatureExtractor") else "image_processor"
    content = {f"{kind}_type": name, **settings}
    (folder / "preprocessor_config.json").write_text(json.dumps(content))


def chats(folder: Path) -> None:
    vision_language(folder, window=8192)


def classes(folder: Path) -> None:
    from transformers import ViTConfig, ViTForImageClassification

    torch.manual_seed(0)
    config: Any = ViTConfig(**SEEN, **labelled("tench", "goldfish", "white shark"))
    saved(folder, ViTForImageClassification(config))
    processed(folder, "ViTFeatureExtractor", size=SIDE, do_resize=True, do_normalize=True)


def boxes(folder: Path) -> None:
    """DETR with transformers' own ResNet, as its revision ``no_timm`` has it."""
    from transformers import DetrConfig, DetrForObjectDetection, ResNetConfig

    torch.manual_seed(0)
    resnet: Any = ResNetConfig
    detr: Any = DetrConfig
    backbone = resnet(
        embedding_size=8,
        hidden_sizes=[8, 8, 16, 16],
        depths=[1, 1, 1, 1],
        layer_type="basic",
        out_features=["stage4"],
    )
    config = detr(
        backbone_config=backbone,
        use_timm_backbone=False,
        use_pretrained_backbone=False,
        backbone=None,
        num_queries=10,
        d_model=16,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=16,
        decoder_ffn_dim=16,
        init_std=0.5,
        **labelled("cat", "dog", "remote"),
    )
    saved(folder, DetrForObjectDetection(config))
    processed(folder, "DetrFeatureExtractor", size=64, max_size=96, format="coco_detection")


def questions(folder: Path) -> None:
    from transformers import ViltConfig, ViltForQuestionAnswering

    torch.manual_seed(0)
    config: Any = ViltConfig(
        **SEEN,
        **labelled("yes", "no", "red"),
        vocab_size=word_pieces(folder, model_max_length=40),
        max_position_embeddings=40,
        max_image_length=-1,
    )
    saved(folder, ViltForQuestionAnswering(config))
    processed(folder, "ViltFeatureExtractor", size=SIDE, size_divisor=8)


def labels(folder: Path) -> None:
    from transformers import CLIPConfig, CLIPModel, CLIPTextConfig, CLIPVisionConfig

    torch.manual_seed(0)
    size = byte_pairs(folder, "<|startoftext|>", END, ends=True)
    text: Any = CLIPTextConfig(
        **SIZES, vocab_size=size, max_position_embeddings=77, bos_token_id=0, eos_token_id=1
    )
    image: Any = CLIPVisionConfig(**SEEN)
    config: Any = CLIPConfig(text_config=text.to_dict(), vision_config=image.to_dict())
    saved(folder, CLIPModel(config))
    (folder / "tokenizer_config.json").write_text(json.dumps({"model_max_length": 77}))
    processed(folder, "CLIPFeatureExtractor", size=SIDE, crop_size=SIDE, do_center_crop=True)


def segments(folder: Path) -> None:
    saved_segmenter(folder)


def captions(folder: Path) -> None:
    from transformers import BlipConfig, BlipForConditionalGeneration

    torch.manual_seed(0)
    text = {
        **SIZES,
        "vocab_size": word_pieces(folder),
        "max_position_embeddings": 512,
        "encoder_hidden_size": 32,
        "bos_token_id": 2,
        "eos_token_id": 3,
        "sep_token_id": 3,
        "pad_token_id": 0,
    }
    saved(folder, BlipForConditionalGeneration(BlipConfig(text_config=text, vision_config=SEEN)))
    processed(folder, "BlipImageProcessor", size=SQUARE, processor_class="BlipProcessor")


def speech(folder: Path) -> None:
    tiny_whisper(folder)


def diffusion(folder: Path) -> None:
    stable_diffusion(folder)


def consistency(folder: Path) -> None:
    latent_consistency(folder)
