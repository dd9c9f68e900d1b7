"""Trains the pipeline that draws shapes: ``python -m tests.shapes.pipeline_training FOLDER``.

It takes about four minutes of one core. Everything random comes from fixed seeds.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from tests.shapes.captioned_drawings import ANYWHERE, IN_THE_MIDDLE, SEED, SIDE, examples, pixels_of
from tests.shapes.clip_words import MAX_TOKENS, clip_tokenizer

logger = logging.getLogger(__name__)

DRAWINGS = 6_000

EMPTY = 0.1
"""The part of the drawings that is learned without a caption, for classifier-free guidance."""

LATENT_CHANNELS = 8
WIDTH = 48
STEPS, BATCH = 900, 32

AUTOENCODER: dict[str, Any] = {
    "encoder_block_out_channels": (16, 16, 16, 16),
    "decoder_block_out_channels": (16, 16, 16, 16),
    "num_encoder_blocks": (0, 1, 1, 1),
    "num_decoder_blocks": (2, 1, 1, 0),
    "latent_channels": LATENT_CHANNELS,
}
UNET: dict[str, Any] = {
    "sample_size": SIDE // 8,
    "in_channels": LATENT_CHANNELS,
    "out_channels": LATENT_CHANNELS,
    "block_out_channels": (32, 48),
    "layers_per_block": 1,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
    "mid_block_type": "UNetMidBlock2DCrossAttn",
    "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
    "cross_attention_dim": WIDTH,
    "attention_head_dim": 4,
    "norm_num_groups": 8,
}


def text_encoder(tokenizer: Any) -> Any:
    from transformers import CLIPTextConfig, CLIPTextModel

    config: Any = CLIPTextConfig
    model: Any = CLIPTextModel
    return model(
        config(
            vocab_size=len(tokenizer),
            hidden_size=WIDTH,
            intermediate_size=2 * WIDTH,
            num_hidden_layers=1,
            num_attention_heads=4,
            max_position_embeddings=MAX_TOKENS,
            projection_dim=WIDTH,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
            initializer_factor=1.0,
        )
    )


def train_autoencoder(autoencoder: Any, pixels: torch.Tensor, steps: int, batch: int) -> None:
    """Learns to restore images from latents of mean 0 and variance 1, with some noise in them."""

    def loss(chosen: torch.Tensor) -> torch.Tensor:
        images = pixels[chosen]
        latents = autoencoder.encode(images).latents
        noisy = latents + 0.1 * torch.randn_like(latents)
        restored = autoencoder.decode(noisy).sample
        error = restored - images
        spread = latents.mean() ** 2 + (latents.var() - 1) ** 2
        value: torch.Tensor = error.abs().mean() + 2 * (error**2).mean() + 0.05 * spread
        return value

    train([autoencoder], loss, len(pixels), steps=steps, batch=batch, rate=4e-3)


def train(
    parts: list[Any],
    loss: Callable[[torch.Tensor], torch.Tensor],
    items: int,
    *,
    steps: int,
    batch: int,
    rate: float,
    average: float = 0.0,
) -> None:
    """AdamW along a cosine. With ``average`` the parts end with the moving average of weights."""
    parameters = [p for part in parts for p in part.parameters() if p.requires_grad]
    averaged = [p.detach().clone() for p in parameters]
    optimizer = torch.optim.AdamW(parameters, lr=rate, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=rate, total_steps=steps, pct_start=0.05
    )
    for part in parts:
        part.train()
    for step in range(steps):
        value = loss(torch.randint(items, (batch,)))
        optimizer.zero_grad()
        value.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        schedule.step()
        for kept, parameter in zip(averaged, parameters, strict=True):
            kept.lerp_(parameter.detach(), 1 - min(average, (step + 1) / (step + 10)))
        if step % 100 == 0 or step == steps - 1:
            logger.info("step %d of %d: loss %.4f", step, steps, value.item())
    if average:
        with torch.no_grad():
            for kept, parameter in zip(averaged, parameters, strict=True):
                parameter.copy_(kept)
    for part in parts:
        part.eval()


def make_autoencoder(pixels: torch.Tensor) -> Any:
    """An ``AutoencoderTiny`` of ``pixels``, whose latents have a deviation of 1 once scaled."""
    from diffusers import AutoencoderTiny

    torch.manual_seed(SEED)
    tiny: Any = AutoencoderTiny  # untyped, as the others
    autoencoder = tiny(**AUTOENCODER)
    train_autoencoder(autoencoder, pixels, steps=1200, batch=16)
    autoencoder.register_to_config(scaling_factor=1 / float(latents_of(autoencoder, pixels).std()))
    return autoencoder


def latents_of(autoencoder: Any, pixels: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return torch.cat([autoencoder.encode(part).latents for part in torch.split(pixels, 64)])


def make_denoiser(
    latents: torch.Tensor, texts: list[str], tokenizer: Any, scheduler: Any
) -> tuple[Any, Any]:
    """A text encoder and a ``UNet2DConditionModel``, which learn together to remove noise."""
    from diffusers import UNet2DConditionModel

    torch.manual_seed(SEED)
    network: Any = UNet2DConditionModel
    encoder, unet = text_encoder(tokenizer), network(**UNET)
    ids = tokenizer(texts, padding="max_length", return_tensors="pt").input_ids
    (nothing,) = tokenizer([""], padding="max_length", return_tensors="pt").input_ids

    def loss(chosen: torch.Tensor) -> torch.Tensor:
        clean = latents[chosen]
        read = torch.where(torch.rand(len(chosen), 1) < EMPTY, nothing, ids[chosen])
        noise = torch.randn_like(clean)
        times = torch.randint(scheduler.config.num_train_timesteps, (len(chosen),))
        noisy = scheduler.add_noise(clean, noise, times)
        wanted = scheduler.get_velocity(clean, noise, times)
        states = encoder(read).last_hidden_state
        value: torch.Tensor = ((unet(noisy, times, states).sample - wanted) ** 2).mean()
        return value

    train([encoder, unet], loss, len(texts), steps=STEPS, batch=BATCH, rate=2e-3, average=0.99)
    return encoder, unet


def make_scheduler() -> Any:
    """DDIM that begins at pure noise: backgrounds may be black or white (arXiv:2305.08891)."""
    from diffusers import DDIMScheduler

    scheduler: Any = DDIMScheduler
    return scheduler(
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
        clip_sample=False,
        steps_offset=1,
    )


def make_pipeline(folder: Path) -> None:
    """A ``StableDiffusionPipeline`` that draws "a red circle" in 64 x 64 pixels."""
    from diffusers import StableDiffusionPipeline

    autoencoder = make_autoencoder(pixels_of(examples(DRAWINGS, ANYWHERE)))
    drawn = examples(DRAWINGS // 6, IN_THE_MIDDLE)
    texts = [each.text for each in drawn]
    tokenizer, scheduler = clip_tokenizer(texts), make_scheduler()
    latents = latents_of(autoencoder, pixels_of(drawn)) * autoencoder.config.scaling_factor
    encoder, unet = make_denoiser(latents, texts, tokenizer, scheduler)
    stable_diffusion: Any = StableDiffusionPipeline
    pipeline = stable_diffusion(
        vae=autoencoder,
        text_encoder=encoder,
        tokenizer=tokenizer,
        unet=unet,
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.to(torch.float16).save_pretrained(folder)


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.shapes.pipeline_training")
    parser.add_argument("folder", type=Path, help="the pipeline is written below it")
    chosen = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(1)  # sums in one order, whatever the machine
    make_pipeline(chosen.folder / "generation")


if __name__ == "__main__":
    main(sys.argv[1:])
