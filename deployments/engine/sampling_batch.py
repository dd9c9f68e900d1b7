"""One step of sampling: rows of logits, sorted by method, become token ids."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence as Listed

import numpy as np
import torch

from deployments.engine.inverse_cdf import draw
from deployments.engine.nucleus import candidates_needed, cut_tail
from deployments.engine.order_statistics import argmax
from deployments.engine.penalties import PenalisedRow, add_bias, penalise
from deployments.engine.relative_cuts import cut_atypical, cut_unlikely
from deployments.engine.sampling_state import Method, SamplingState
from deployments.engine.token_masks import TokenMasks, ban_early_ends
from deployments.engine.tuning import MORE_CANDIDATES
from deployments.seam.generation import Sampling


class SamplingBatch:
    """The rows of one step, in ascending order of their :class:`.Method`, and their masks."""

    def __init__(self, states: Listed[SamplingState], masks: TokenMasks) -> None:
        methods = [state.method for state in states]
        self._unchanged = bisect_left(methods, Method.GREEDY)
        self._changed = states[self._unchanged :]
        self._greedy = bisect_left(methods, Method.FULL) - self._unchanged
        self._masks = masks

    def sample(self, logits: torch.Tensor) -> list[int]:
        """The token id of each row of ``logits``, which are not changed."""
        scores = self._change(logits[self._unchanged :])
        ids = [argmax(logits[: self._unchanged]), argmax(scores[: self._greedy])]
        if self._greedy == len(self._changed):
            return _to_host(ids)
        random = RandomRows(self._changed[self._greedy :], scores[self._greedy :])
        drawn, incomplete = random.draw()
        chosen = _to_host([*ids, drawn, incomplete])
        first = self._unchanged + self._greedy
        again = [row for row, flag in enumerate(chosen[first + len(drawn) :]) if flag]
        for row, token_id in random.draw_again(again).items():
            chosen[first + row] = token_id
        return chosen[: first + len(drawn)]

    def _change(self, logits: torch.Tensor) -> torch.Tensor:
        """The logits as float32, after penalties, biases, minimum lengths and grammars."""
        if not any(state.changes_logits for state in self._changed):
            return logits.float()
        scores, states = logits.to(torch.float32, copy=True), list(enumerate(self._changed))
        seen = [(row, state.seen, state.sampling) for row, state in states]
        penalise(scores, [PenalisedRow(row, each, plan) for row, each, plan in seen if each])
        add_bias(scores, [(row, state.sampling) for row, state in states])
        sequences = [state.sequence for state in self._changed]
        ban_early_ends(scores, sequences)
        self._masks.apply(scores, sequences)
        return scores


class RandomRows:
    """Rows that are sampled at random, those with the whole distribution first.

    ``scores`` are float32 of shape (rows, vocabulary).
    """

    def __init__(self, states: Listed[SamplingState], scores: torch.Tensor) -> None:
        self._whole = bisect_left([state.method for state in states], Method.TRUNCATED)
        self._candidates = candidates_needed([s.sampling.top_k for s in states[self._whole :]])
        settings = [(*_settings(state.sampling), state.uniform) for state in states]
        values = torch.from_numpy(np.array(settings, np.float32).T.copy()).to(scores.device)
        temperature, self._top_p, self._min_p, self._typical_p, self._uniform = values
        self._cuts_unlikely = any(state.sampling.min_p for state in states)
        self._cuts_atypical = any(state.sampling.typical_p < 1.0 for state in states)
        top_k = [min(state.sampling.top_k, scores.shape[-1]) for state in states]
        self._top_k = torch.tensor(top_k, device=scores.device)
        self._scores = scores / temperature[:, None]

    def draw(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The token ids, and for each row whether it has to be drawn again."""
        weights = torch.softmax(self._scores, dim=-1)
        incomplete = torch.zeros(len(weights), dtype=torch.bool, device=weights.device)
        if self._whole < len(weights):
            tail = slice(self._whole, None)
            incomplete[tail] = self._cut(weights[tail], tail, self._candidates)
        return draw(weights, self._uniform), incomplete

    def draw_again(self, rows: list[int]) -> dict[int, int]:
        """The token ids of ``rows`` by row, each from as many candidates as it needs."""
        found: dict[int, int] = {}
        candidates = self._candidates
        while rows:
            candidates *= MORE_CANDIDATES
            taken = torch.tensor(rows, device=self._scores.device)
            weights = torch.softmax(self._scores[taken], dim=-1)
            incomplete = self._cut(weights, taken, candidates)
            values = _to_host([draw(weights, self._uniform[taken]), incomplete])
            found |= zip(rows, values[: len(rows)], strict=True)
            rows = [row for row, flag in zip(rows, values[len(rows) :], strict=True) if flag]
        return found

    def _cut(
        self, weights: torch.Tensor, rows: slice | torch.Tensor, candidates: int
    ) -> torch.Tensor:
        """Cut the tails of ``rows`` off in place; which of them need more candidates."""
        incomplete = cut_tail(weights, self._top_k[rows], self._top_p[rows], candidates)
        if self._cuts_unlikely:
            cut_unlikely(weights, self._min_p[rows])
        if self._cuts_atypical:
            cut_atypical(weights, self._typical_p[rows])
        return incomplete


def _settings(sampling: Sampling) -> tuple[float, ...]:
    return sampling.temperature, sampling.nucleus, sampling.min_p, sampling.typical_p


def _to_host(parts: list[torch.Tensor]) -> list[int]:
    """All values of ``parts``, with one transfer."""
    values: list[int] = torch.cat([part.long() for part in parts]).tolist()
    return values
