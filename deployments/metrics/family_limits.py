"""Puts together what binds the replicas of each family."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from deployments.metrics.binding_limit import LIMITS, SETTINGS, BindingLimit, FamilyLimits, Limit
from deployments.metrics.report import FamilyBinding, FamilyPerformance


def binding_limits(replicas: Iterable[FamilyLimits]) -> dict[str, FamilyPerformance]:
    """By family: the limits that bind any of its replicas, and the newest decision on scaling."""
    families: defaultdict[str, list[FamilyLimits]] = defaultdict(list)
    for replica in replicas:
        families[replica.family].append(replica)
    return {name: _together(found) for name, found in sorted(families.items())}


def _together(replicas: list[FamilyLimits]) -> FamilyPerformance:
    bound: defaultdict[Limit, list[BindingLimit]] = defaultdict(list)
    for replica in replicas:
        for each in replica.limits:
            bound[each.limit].append(each)
    limits = tuple(
        FamilyBinding(limit, len(bound[limit]), bound[limit][0].why, SETTINGS[limit])
        for limit in LIMITS
        if limit in bound
    )
    decisions = [each.scaling for each in replicas if each.scaling is not None]
    return FamilyPerformance(limits, max(decisions, key=lambda each: each.at, default=None))
