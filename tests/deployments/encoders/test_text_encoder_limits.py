"""Limits of a family of encoders: changed while it runs, and bounded by the replica."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import pytest_asyncio
from ray.serve.exceptions import RayServeException

from configs.profile import UserConfig
from deployments.batching.batcher import MAX_ADMITTED
from deployments.metrics import signals
from deployments.seam.replicas import LiveLimits
from tests.deployments.conftest import Configured
from tests.deployments.encoders.doubling_encoders import Doubled
from tests.deployments.families import started

# Serve keeps one queue a class, on the event loop that first used it.
pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.usefixtures("in_replica")]


@pytest_asyncio.fixture(loop_scope="session")
async def family(configured: Configured, classifier_folder: Path) -> Doubled:
    return await started(Doubled(configured(classifier_folder, {"batch_size": 4})))


async def test_a_running_replica_takes_a_new_batch_size(family: Doubled) -> None:
    family.forwards.end(100)
    family.reconfigure({"max_batch_size": 9, "max_forward_ms": 60_000, "batch_wait_timeout_s": 0.0})
    await family.ask(*["xxx"] * 12)
    assert [len(batch) for batch in family.forwards.batches] == [9, 3]


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"max_batch_size": 0}, "user_config.max_batch_size: Input should be greater than 0"),
        ({"max_batch_size": "many"}, "user_config.max_batch_size: Input should be a valid integer"),
        ({"max_batch_size": 2, "max_batch": 2}, "max_batch: unknown key; did you mean max_batch_s"),
        ([4], "user_config: Input should be a valid dictionary"),
    ],
)
async def test_wrong_limits_change_nothing_and_are_told(
    family: Doubled, caplog: pytest.LogCaptureFixture, wrong: Any, why: str
) -> None:
    family.forwards.end(100)
    family.reconfigure({"max_batch_size": 6, "max_forward_ms": 60_000})
    family.reconfigure(wrong)
    (record,) = [each for each in caplog.records if each.levelname == "ERROR"]
    assert why in record.getMessage()
    assert "\n" not in record.getMessage()
    assert refusals(family) == [1]
    await family.ask(*["xxx"] * 12)
    assert [len(batch) for batch in family.forwards.batches] == [6, 6]


async def test_good_limits_behind_wrong_ones_are_taken(family: Doubled) -> None:
    family.forwards.end(100)
    family.reconfigure({"max_batch_size": 0})
    family.reconfigure({"max_batch_size": 9, "max_forward_ms": 60_000})
    assert refusals(family) == [0]
    await family.ask(*["xxx"] * 12)
    assert [len(batch) for batch in family.forwards.batches] == [9, 3]


async def test_the_limits_in_force_are_told_with_what_was_refused(family: Doubled) -> None:
    first = await limits(family)
    assert (first.in_force["max_batch_size"], first.refused) == (4, ())
    assert "max_batch_pixels" not in first.in_force  # texts are not bounded by it
    family.reconfigure({"max_batch_size": 6, "max_batch_tokens": 99})
    family.reconfigure({"max_batch_size": 0})
    told = await limits(family)
    assert (told.in_force["max_batch_size"], told.in_force["max_batch_tokens"]) == (6, 99)
    assert set(told.in_force) == set(UserConfig.model_fields) - {"max_batch_pixels"}
    (why,) = told.refused
    assert why.startswith("user_config.max_batch_size: Input should be greater than 0")
    family.reconfigure({"max_batch_size": 7})
    assert (await limits(family)).refused == ()


async def limits(family: Doubled) -> LiveLimits:
    report = await family.loaded_models(None)
    assert report.limits is not None
    return report.limits


@pytest.mark.parametrize(("lets_in", "together"), [(16, 16), (2**20, MAX_ADMITTED)])
async def test_no_more_requests_are_handed_over_in_one_go_than_the_replica_lets_in(
    family: Doubled,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    lets_in: int,
    together: int,
) -> None:
    """Serve warned of it at each start, as if the operator had to change something."""
    options = SimpleNamespace(max_ongoing_requests=lets_in)
    context = SimpleNamespace(_deployment_config=options)
    monkeypatch.setattr("ray.serve.get_replica_context", lambda: context)
    await family.check_health()
    admit: Any = family.batcher._admit
    assert admit._get_max_batch_size() == together
    options.max_ongoing_requests = 4  # changed while it runs, by another deployment
    await family.check_health()
    assert admit._get_max_batch_size() == 4
    assert "max_ongoing_requests" not in caplog.text
    options.max_ongoing_requests = 2**20  # the queue is the class's: others come after this test
    await family.check_health()


async def test_outside_serve_nothing_bounds_what_is_handed_over(
    family: Doubled, monkeypatch: pytest.MonkeyPatch
) -> None:
    def outside() -> None:
        raise RayServeException("no replica")

    monkeypatch.setattr("deployments.batching.batcher.serve.get_replica_context", outside)
    admit: Any = family.batcher._admit
    before = admit._get_max_batch_size()
    await family.check_health()
    assert admit._get_max_batch_size() == before


def refusals(family: Doubled) -> list[float]:
    return [
        amount
        for sample in family.batcher._gauges()
        if sample.signal == signals.LIMITS_REFUSED.name
        for amount in sample.amounts
    ]
