"""Diffusion pipelines of random weights, made in a moment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderTiny,
    DDIMScheduler,
    EulerAncestralDiscreteScheduler,
    LatentConsistencyModelPipeline,
    LCMScheduler,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from tests.shapes.clip_words import clip_tokenizer

SIDE = 32
WINDOW = 16
WIDTH = 16
TEXTS = ["a red circle", "a blue square", "an orange triangle"]
UNET: dict[str, Any] = {
    "sample_size": SIDE // 2,
    "in_channels": 4,
    "out_channels": 4,
    "block_out_channels": (8, 16),
    "layers_per_block": 1,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
    "cross_attention_dim": WIDTH,
    "attention_head_dim": 4,
    "norm_num_groups": 4,
}


def stable_diffusion(folder: Path, **parts: Any) -> Path:
    """One text encoder, and a scheduler that adds noise at every step."""
    return _saved(folder, StableDiffusionPipeline, _ancestral(), **parts)


def latent_consistency(folder: Path) -> Path:
    """Guidance is an input of its UNet, so it reads no negative prompt."""
    unet = _unet(time_cond_proj_dim=8)
    scheduler: Any = LCMScheduler
    return _saved(folder, LatentConsistencyModelPipeline, scheduler(), unet=unet)


def stable_diffusion_xl(folder: Path) -> Path:
    """Two text encoders, whose vectors lie side by side."""
    torch.manual_seed(0)
    tokenizer = _tokenizer()
    unet = _unet(
        cross_attention_dim=2 * WIDTH,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=WIDTH + 6 * 8,
    )
    pipeline: Any = StableDiffusionXLPipeline
    scheduler: Any = DDIMScheduler
    made = pipeline(
        vae=_autoencoder(),
        text_encoder=_encoder(CLIPTextModel, tokenizer),
        text_encoder_2=_encoder(CLIPTextModelWithProjection, tokenizer),
        tokenizer=tokenizer,
        tokenizer_2=_tokenizer(),
        unet=unet,
        scheduler=scheduler(steps_offset=1, clip_sample=False),
        add_watermarker=False,
    )
    made.save_pretrained(folder)
    return folder


def _saved(folder: Path, cls: Any, scheduler: Any, **parts: Any) -> Path:
    torch.manual_seed(0)
    tokenizer = _tokenizer()
    usual = {
        "vae": _autoencoder(),
        "text_encoder": _encoder(CLIPTextModel, tokenizer),
        "tokenizer": tokenizer,
        "unet": _unet(),
        "scheduler": scheduler,
        "safety_checker": None,
        "feature_extractor": None,
        "requires_safety_checker": False,
    }
    cls(**(usual | parts)).save_pretrained(folder)
    return folder


def _ancestral() -> Any:
    scheduler: Any = EulerAncestralDiscreteScheduler
    return scheduler(steps_offset=1)


def _tokenizer() -> Any:
    made = clip_tokenizer(TEXTS)
    made.model_max_length = WINDOW
    return made


def _autoencoder() -> Any:
    autoencoder: Any = AutoencoderTiny
    return autoencoder(
        encoder_block_out_channels=(8, 8),
        decoder_block_out_channels=(8, 8),
        num_encoder_blocks=(0, 1),
        num_decoder_blocks=(1, 0),
    )


def _unet(**more: Any) -> Any:
    unet: Any = UNet2DConditionModel
    return unet(**(UNET | more))


def _encoder(cls: Any, tokenizer: Any) -> Any:
    config: Any = CLIPTextConfig
    return cls(
        config(
            vocab_size=len(tokenizer),
            hidden_size=WIDTH,
            intermediate_size=WIDTH,
            num_hidden_layers=1,
            num_attention_heads=2,
            max_position_embeddings=WINDOW,
            projection_dim=WIDTH,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
            initializer_factor=10.0,
        )
    )
