"""lm-evaluation-harness against the running graph, and against transformers on the same weights."""

from __future__ import annotations

from bench.peers.weights import CHAT_FLOAT32, folder_of
from configs.processor import native_bfloat16
from tests.long.client_environment import run_tests

# By how much the sum of a few tokens' log-probabilities may differ from float32's.
ROUNDING = 0.3 if native_bfloat16() else 0.01


def test_lm_eval(base_url: str) -> None:
    run_tests(
        "scores",
        base_url,
        beside_ours=True,
        PRSM_CLIENTS_WEIGHTS=str(folder_of(CHAT_FLOAT32)),
        PRSM_CLIENTS_ROUNDING=str(ROUNDING),
    )
