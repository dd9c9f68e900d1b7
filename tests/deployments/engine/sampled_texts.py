"""Sequences over given logits, and a step of a sampler that chooses their next tokens."""

from __future__ import annotations

from typing import Any

import torch

from deployments.engine.codec import TextCodec
from deployments.engine.grammar.constraint import Constraint, ConstraintError
from deployments.engine.sampling import Sampled, Sampler
from deployments.engine.sequence import Sequence
from deployments.seam.generation import Sampling

LOGITS = torch.full((257,), -20.0)
LOGITS[:4] = torch.tensor([4.0, 3.0, 2.0, -1.0])


def text(
    codec: TextCodec,
    generated: tuple[int, ...] = (),
    prompt: tuple[int, ...] = (200,),
    min_new: int = 0,
    constraint: Constraint | None = None,
    **sampling: Any,
) -> Sequence:
    return Sequence(
        codec=codec,
        prompt_ids=prompt,
        sampling=Sampling(**sampling),
        max_new_tokens=1000,
        min_new_tokens=min_new,
        on_token=lambda token: None,
        on_failure=lambda problem: None,
        resume_ids=generated,
        constraint=constraint,
    )


def step(
    codec: TextCodec, logits: torch.Tensor, *sequences: Sequence
) -> list[Sampled | ConstraintError]:
    sampler = Sampler(codec, torch.device("cpu"))
    for each in sequences:
        sampler.add(each)
    return sampler.sample(sequences, logits, sampler.prepare(sequences))
