"""Repetition, frequency and presence penalties, and biases, on the logits of many sequences."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Sequence as Listed
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from deployments.seam.generation import Sampling


class SeenTokens:
    """The different tokens of one sequence, and how often each was generated.

    ``prompt_ids`` count as seen, but not as generated.
    """

    def __init__(self, prompt_ids: Iterable[int] = ()) -> None:
        prompt = dict.fromkeys(prompt_ids)
        self._places = {token_id: place for place, token_id in enumerate(prompt)}
        self._ids = np.fromiter(prompt, np.int64, len(prompt))
        self._counts = np.zeros(len(prompt), np.float32)
        self._read = 0

    @property
    def ids(self) -> npt.NDArray[np.int64]:
        return self._ids[: len(self._places)]

    @property
    def counts(self) -> npt.NDArray[np.float32]:
        """How often each of ``ids`` was generated."""
        return self._counts[: len(self._places)]

    def update(self, generated: Listed[int]) -> None:
        """Count the tokens that were generated since the last update."""
        for token_id in generated[self._read :]:
            place = self._places.setdefault(token_id, len(self._places))
            if place == len(self._ids):
                self._grow()
            self._ids[place] = token_id
            self._counts[place] += 1
        self._read = len(generated)

    def _grow(self) -> None:
        room = max(64, len(self._ids))
        self._ids = np.concatenate([self._ids, np.zeros(room, np.int64)])
        self._counts = np.concatenate([self._counts, np.zeros(room, np.float32)])


class PenalisedRow(NamedTuple):
    """A row of logits, the tokens of its sequence and the penalties for them."""

    row: int
    seen: SeenTokens
    sampling: Sampling


def penalise(scores: torch.Tensor, rows: Listed[PenalisedRow]) -> None:
    """Apply the penalties of ``rows`` to float32 ``scores`` of shape (rows, vocabulary), in place.

    First the repetition penalty, which divides a positive logit and multiplies a negative one
    (CTRL, arXiv:1909.05858), then what the frequency and presence penalties subtract.
    """
    if not rows:
        return
    width, device = scores.shape[-1], scores.device
    places = np.concatenate([each.seen.ids + each.row * width for each in rows])
    factors = np.concatenate(
        [np.full(len(seen.ids), plan.repetition_penalty, np.float32) for _, seen, plan in rows]
    )
    subtracted = np.concatenate([_subtracted(seen.counts, plan) for _, seen, plan in rows])
    flat, index = scores.view(-1), torch.from_numpy(places).to(device)
    factor = torch.from_numpy(factors).to(device)
    seen = flat[index]
    seen = torch.where(seen < 0, seen * factor, seen / factor)
    flat[index] = seen - torch.from_numpy(subtracted).to(device)


def add_bias(scores: torch.Tensor, rows: Iterable[tuple[int, Sampling]]) -> None:
    """Add the ``logit_bias`` of ``rows`` (row and sampling) to ``scores``, in place."""
    width = scores.shape[-1]
    biases = [
        (row * width + token_id, bias)
        for row, sampling in rows
        for token_id, bias in sampling.logit_bias.items()
        if token_id < width
    ]
    if biases:
        places, values = zip(*biases, strict=True)
        index = torch.tensor(places, device=scores.device)
        scores.view(-1)[index] += torch.tensor(values, dtype=scores.dtype, device=scores.device)


def _subtracted(counts: npt.NDArray[np.float32], sampling: Sampling) -> npt.NDArray[np.float32]:
    frequency, presence = map(np.float32, (sampling.frequency_penalty, sampling.presence_penalty))
    return counts * frequency + (counts > 0).astype(np.float32) * presence
