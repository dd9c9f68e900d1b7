from __future__ import annotations

from typing import Any

import torch
from transformers import RepetitionPenaltyLogitsProcessor

from deployments.engine.penalties import PenalisedRow, SeenTokens, add_bias, penalise
from deployments.seam.generation import Sampling


def test_tokens_are_seen_once_and_counted_in_the_text() -> None:
    seen = SeenTokens([5, 5, 9])
    seen.update([9, 1])
    seen.update([9, 1, 9])
    assert dict(zip(seen.ids.tolist(), seen.counts.tolist(), strict=True)) == {5: 0, 9: 2, 1: 1}


def test_any_number_of_tokens_can_be_seen() -> None:
    seen, text = SeenTokens(range(10)), [*range(1000), *range(0, 1000, 2)]
    for length in range(0, len(text) + 1, 7):
        seen.update(text[:length])
    seen.update(text)
    assert sorted(seen.ids.tolist()) == list(range(1000))
    assert seen.counts.sum() == len(text)


def test_the_repetition_penalty_is_that_of_transformers() -> None:
    torch.manual_seed(0)
    scores, ids = torch.randn(4, 100), torch.randint(100, (4, 30))
    expected: Any = torch.cat(
        [
            RepetitionPenaltyLogitsProcessor(1.1 + row)(ids[row : row + 1], scores[row : row + 1])
            for row in range(4)
        ]
    )
    rows = [
        PenalisedRow(row, SeenTokens(ids[row].tolist()), Sampling(repetition_penalty=1.1 + row))
        for row in range(4)
    ]
    penalise(scores, rows)
    assert torch.equal(scores, expected)


def test_frequency_and_presence_count_the_text_only() -> None:
    seen = SeenTokens([0, 1])
    seen.update([1, 2, 2])
    scores = torch.zeros(2, 4)
    plan = Sampling(frequency_penalty=0.5, presence_penalty=0.25)
    penalise(scores, [PenalisedRow(1, seen, plan)])
    assert scores.tolist() == [[0.0] * 4, [0.0, -0.75, -1.25, 0.0]]


def test_a_bias_belongs_to_its_row_and_to_tokens_that_the_model_has() -> None:
    scores = torch.zeros(2, 4)
    add_bias(scores, [(0, Sampling(logit_bias={3: 1.5, 4: 9.0})), (1, Sampling())])
    assert scores.tolist() == [[0.0, 0.0, 0.0, 1.5], [0.0] * 4]
