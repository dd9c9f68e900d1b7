"""How the shape models learn: their size, their drawings, and the steps of training."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from tests.shapes.drawing import Drawing, drawing

logger = logging.getLogger(__name__)

SIDE, PATCH = 64, 8
SEED = 20
DRAWINGS = 6_000
NOISE = 0.04
RATE = 1.5e-3
SIZES: dict[str, Any] = {
    "image_size": SIDE,
    "patch_size": PATCH,
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 128,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
    "initializer_range": 0.1,  # the usual 0.02 is for wide layers: these hardly begin to learn
}


def drawn(count: int, shapes: int) -> list[Drawing]:
    dice = random.Random(f"{SEED} {shapes}")
    return [drawing(dice, shapes) for _ in range(count)]


def noisy(pixels: torch.Tensor) -> torch.Tensor:
    return pixels + NOISE * torch.randn_like(pixels)


def train(
    model: Any, loss: Callable[[torch.Tensor], torch.Tensor], items: int, *, steps: int, batch: int
) -> None:
    """AdamW with a short warm-up, then the rate falls along a cosine."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=RATE, total_steps=steps, pct_start=0.05
    )
    model.train()
    for step in range(steps):
        value = loss(torch.randint(items, (batch,)))
        optimizer.zero_grad()
        value.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % 100 == 0 or step == steps - 1:
            logger.info("step %d of %d: loss %.4f", step, steps, value.item())


def save(model: Any, folder: Path, *others: Any) -> None:
    for part in (model.eval(), *others):
        part.save_pretrained(folder)
