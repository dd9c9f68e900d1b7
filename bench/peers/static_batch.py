"""Greedy ``model.generate`` of transformers over static batches, in this process."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM


class StaticBatch:
    """A model in float32 that decodes all prompts together, until the longest is written."""

    def __init__(self, folder: Path) -> None:
        model: Any = AutoModelForCausalLM.from_pretrained(str(folder), dtype=torch.float32)
        self._model = model.eval()

    @torch.inference_mode()
    def rate(
        self, prompts: Sequence[list[int]], lengths: Sequence[int], *, apart_s: float = 0.0
    ) -> float:
        """Wanted tokens a second. The batch begins when its last prompt has arrived, and what is
        written behind the wanted length of a text counts for nothing."""
        waited = apart_s * (len(prompts) - 1)
        longest = max(map(len, prompts))
        ids = torch.tensor([[0] * (longest - len(each)) + each for each in prompts])
        mask = torch.tensor([[0] * (longest - len(each)) + [1] * len(each) for each in prompts])
        new = max(lengths)
        began = time.perf_counter()
        self._model.generate(
            ids,
            attention_mask=mask,
            do_sample=False,
            max_new_tokens=new,
            min_new_tokens=new,
            pad_token_id=0,
        )
        return sum(lengths) / (waited + time.perf_counter() - began)
