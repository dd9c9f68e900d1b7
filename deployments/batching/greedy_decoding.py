"""Ends ``generate`` of transformers early, for rows whose callers were cancelled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from transformers import StoppingCriteria, StoppingCriteriaList

from deployments.batching.decode_steps import DecodeSteps


class _StopUnwanted(StoppingCriteria):
    """After each token, stops the rows whose callers were cancelled, or all rows."""

    def __init__(self, steps: DecodeSteps, should_pause: Callable[[], bool]) -> None:
        self._steps = steps
        self._should_pause = should_pause

    def __call__(self, input_ids: Any, scores: Any, **more: Any) -> Any:
        wanted = self._steps.step()
        if not any(wanted) or self._should_pause():
            wanted = [False] * len(wanted)
        return ~torch.tensor(wanted, device=input_ids.device)


def stopping(
    steps: DecodeSteps, should_pause: Callable[[], bool] = lambda: False
) -> StoppingCriteriaList:
    """The ``stopping_criteria`` of a batch: a row stops when nobody waits for it, and all rows when
    ``should_pause`` says so. A stopped row is padded, and is no answer."""
    return StoppingCriteriaList([_StopUnwanted(steps, should_pause)])
