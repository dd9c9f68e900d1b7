"""Counters of owners are forgotten once they are idle and nobody is behind them."""

from __future__ import annotations

from deployments.models.fair_shares import FairShares, Owner

ADA, BOB = Owner("ada", "web"), Owner("bob", "")


def test_a_tenant_that_is_overtaken_while_it_is_idle_is_forgotten_with_its_shares() -> None:
    shares = FairShares()
    shares.begin(ADA)
    shares.begin(BOB)
    shares.charge(ADA, 5.0)
    shares.end(ADA)
    assert len(shares) > 2  # ada is ahead of bob
    shares.charge(BOB, 9.0)
    shares.end(BOB)
    assert len(shares) == 0
    assert shares._shares == {}
