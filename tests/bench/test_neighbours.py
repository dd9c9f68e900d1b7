"""The shares of all cores that other processes took during a measurement."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from bench.neighbours import CLOCKS, Neighbours, shares, watched


def clocks(**seconds: float) -> SimpleNamespace:
    return SimpleNamespace(**{**dict.fromkeys(CLOCKS, 0.0), **seconds})


def test_what_is_busy_and_not_ours_is_of_others() -> None:
    began = clocks(user=100, idle=1000)
    now = clocks(user=108, nice=4, system=2, idle=1004, iowait=1, steal=1)
    others, stolen = shares(began, now, ours_s=10)
    assert others == pytest.approx(4 / 20)
    assert stolen == pytest.approx(1 / 20)


def test_nobody_took_less_than_nothing() -> None:
    assert shares(clocks(), clocks(user=1, idle=9), ours_s=1.5) == (0.0, 0.0)


def test_a_block_shorter_than_a_sample_has_no_neighbours() -> None:
    with watched() as seen:
        pass
    assert str(seen) == "Other processes took 0% of the machine meanwhile."


def test_a_hypervisor_that_took_its_share_is_named() -> None:
    assert str(Neighbours(0.031, 0.012)) == (
        "Other processes took 3% of the machine meanwhile, the hypervisor 1%."
    )
