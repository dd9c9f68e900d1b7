"""lm-evaluation-harness: a task scored by the service and by transformers on the same weights."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import lm_eval
import pytest
from lm_eval.tasks import TaskManager

HERE = Path(__file__).parent
WEIGHTS = os.environ["PRSM_CLIENTS_WEIGHTS"]
"""The folder of the torch model's weights, which both sides read."""

ROUNDING = float(os.environ["PRSM_CLIENTS_ROUNDING"])
"""By how much a log-likelihood may differ from float32's: the service may round to bfloat16."""


@pytest.fixture(autouse=True)
def task_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The task names its file relative to the folder that it runs in."""
    monkeypatch.chdir(HERE)
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path))


def evaluate(kind: str, **arguments: Any) -> tuple[dict[str, float], list[list[float]]]:
    """The scores, and for each question the log-likelihoods of its choices."""
    done = lm_eval.simple_evaluate(
        model=kind,
        model_args=arguments,
        tasks=["capitals"],
        task_manager=TaskManager(include_path=str(HERE), include_defaults=False),
        bootstrap_iters=0,
    )
    assert done is not None
    scores = {name: done["results"]["capitals"][f"{name},none"] for name in ("acc", "acc_norm")}
    samples = sorted(done["samples"]["capitals"], key=lambda sample: int(sample["doc_id"]))
    return scores, [[choice[0] for choice in sample["filtered_resps"]] for sample in samples]


@pytest.fixture(scope="module")
def expected(request: pytest.FixtureRequest) -> tuple[dict[str, float], list[list[float]]]:
    before = Path.cwd()
    os.chdir(HERE)
    try:
        return evaluate("hf", pretrained=WEIGHTS, device="cpu", dtype="float32")
    finally:
        os.chdir(before)


@pytest.mark.parametrize("batch_size", [1, 4])
def test_the_score_is_that_of_transformers(service: Any, expected: Any, batch_size: int) -> None:
    scores, likelihoods = evaluate(
        "local-completions",
        model=service.torch,
        base_url=f"{service.openai}/completions",
        tokenizer=WEIGHTS,
        num_concurrent=2,
        batch_size=batch_size,
        max_retries=1,
    )
    assert scores == expected[0]
    assert scores["acc"] > 0.5  # four choices each: it knows some, and does not guess
    for ours, theirs in zip(likelihoods, expected[1], strict=True):
        assert ours == pytest.approx(theirs, abs=ROUNDING)
