"""Greedy decoding by ``generate`` of transformers, which ends as soon as nobody waits for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from transformers import StoppingCriteria, StoppingCriteriaList

from deployments.batching.decode_steps import DecodeSteps


class _Watched(StoppingCriteria):
    """Looks at each token who still waits: a row that nobody wants any more ends here."""

    def __init__(self, steps: DecodeSteps, pauses: Callable[[], bool]) -> None:
        self._steps = steps
        self._pauses = pauses

    def __call__(self, input_ids: Any, scores: Any, **more: Any) -> Any:
        wanted = self._steps.step()
        if not any(wanted) or self._pauses():
            wanted = [False] * len(wanted)
        return ~torch.tensor(wanted, device=input_ids.device)


def stopping(
    steps: DecodeSteps, pauses: Callable[[], bool] = lambda: False
) -> StoppingCriteriaList:
    """The ``stopping_criteria`` of a batch: a row ends when nobody wants it, and all of them where
    ``pauses``. A row that was stopped is padded, and has no answer."""
    return StoppingCriteriaList([_Watched(steps, pauses)])
