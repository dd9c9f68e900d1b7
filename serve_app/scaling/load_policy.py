"""How many replicas a family needs for the load that its replicas measure, and why.

Serve's controller asks ten times a second, and pickles this module by value. Serve itself applies
``upscaling_factor``, the delays and the bounds of ``autoscaling_config`` to the answer, and starts
the first replica of a family that sleeps.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeAlias

from ray.serve.autoscaling_policy import replica_queue_length_autoscaling_policy
from ray.serve.config import AutoscalingContext

from deployments.seam.scaling import Measure, ScalingDecision, ScalingDecisions

logger = logging.getLogger("ray.serve")  # in the controller's log under its own level

TARGET_LOAD = 0.8
"""The part of its slots, KV cache, time and ``max_ongoing_requests`` that a replica should use."""

DECIDE_S = 1.0
"""A decision stands for so long: replicas report less often, and reports take time to merge."""

PUBLISH_S = 10.0
"""A decision that stays the same is written again after so long, so that readers know its age."""

STALE_REPORTS = 3.0
"""Stats older than so many intervals of reports, and ten seconds, count as missing."""

Stats: TypeAlias = dict[str, float]
"""The sum of each stat over the replicas, and of the targets the greatest."""


class LoadPolicy:
    """Serve's ``autoscaling_config.policy`` of model families.

    More replicas are needed where, averaged over Serve's ``look_back_period_s``, any of these is
    more than the present ones can have: sequences that run or wait, compared to slots; their
    tokens, compared to KV caches; the predicted seconds of waiting work, compared to
    ``target_queue_s``; the requests that Serve counts, queued ones included, compared to
    ``max_ongoing_requests``. The first two and the last may be ``target_load`` of the whole, so
    that they are reached before requests have to wait in front of the replicas. Fewer are needed
    where all of these and the time in which forwards run allow it.

    Serve's own policy decides while a replica's stats are old, or no replica has reported any. A
    replica that has not reported yet has no load.
    """

    def __init__(self, target_load: float = TARGET_LOAD) -> None:
        if not 0 < target_load <= 1:
            raise ValueError(f"target_load: expected more than 0 and at most 1, got {target_load}")
        self._target_load = target_load
        self._decided: tuple[float, tuple[int, int], float] | None = None
        self._published: ScalingDecision | None = None
        self._told_failure = False

    def __call__(self, ctx: AutoscalingContext) -> tuple[float, dict[str, Any]]:
        """The replicas that are needed, and no state: Serve keeps that of the delays itself."""
        now, replicas = ctx.current_time or 0.0, (ctx.current_num_replicas, ctx.target_num_replicas)
        if self._decided is not None:
            at, of_replicas, needed = self._decided
            if of_replicas == replicas and 0 <= now - at < DECIDE_S:
                return needed, {}
        needed, measure, why = self.decide(ctx)
        self._decided = now, replicas, needed
        self._publish(ctx, ScalingDecision(
            math.ceil(needed), measure, why, *replicas,
            ctx.capacity_adjusted_min_replicas, ctx.capacity_adjusted_max_replicas, now,
        ))  # fmt: skip
        return needed, {}

    def decide(self, ctx: AutoscalingContext) -> tuple[float, Measure, str]:
        """How many replicas are needed, what that follows from, and a sentence that says why."""
        running = ctx.current_num_replicas
        if not running:
            waking = "a replica starts" if ctx.target_num_replicas else "it sleeps"
            return ctx.target_num_replicas, "none", f"no replica runs: {waking}"
        stats = _fresh_stats(ctx)
        if isinstance(stats, str):
            return self._as_serve(ctx, stats)
        needs = self._needs(ctx, stats)
        measure: Measure = max(needs, key=lambda each: needs[each])
        held = _rounded(stats["busy"] / self._target_load)
        held = min(held, running, ctx.target_num_replicas)  # those that leave are not to be kept
        if math.ceil(needs[measure]) < running and held > needs[measure]:
            measure, needs["busy"] = "busy", held
        if not needs[measure]:
            return 0.0, "none", "nothing runs or waits"
        return needs[measure], measure, self._why(measure, needs[measure], ctx, stats)

    def _needs(self, ctx: AutoscalingContext, stats: Stats) -> dict[Measure, float]:
        """The replicas that each measure asks for."""
        most = stats["max_ongoing_requests"] * self._target_load
        needs: dict[Measure, float] = {
            "slots": stats["slots"] / self._target_load,
            "kv_cache": stats["kv_cache"] / self._target_load,
            "queue": stats["queue"],
            "requests": ctx.total_num_requests / most if most else 0.0,
        }
        return {measure: _rounded(need) for measure, need in needs.items()}

    def _as_serve(self, ctx: AutoscalingContext, why: str) -> tuple[float, Measure, str]:
        needed, _ = replica_queue_length_autoscaling_policy(ctx)
        target = ctx.config.get_target_ongoing_requests() if ctx.config else 0
        count = f"{ctx.total_num_requests:.1f} requests, target_ongoing_requests {target:g}"
        return needed, "serve", f"{why}: Serve's own policy decides ({count})"

    def _why(self, measure: Measure, need: float, ctx: AutoscalingContext, stats: Stats) -> str:
        share, target = f"{self._target_load:.0%}", stats["target_queue_s"]
        match measure:
            case "slots":
                why = f"sequences that run or wait would fill the slots of {stats['slots']:.2f}"
            case "kv_cache":
                why = (
                    f"tokens that are held or wait would fill the KV caches of {stats[measure]:.2f}"
                )
            case "queue":
                why = (
                    f"work of {stats['queue'] * target:.2f} s waits, and {target:g} s may for each"
                )
                return f"{why}: {_replicas(need)}"
            case "requests":
                each = f"{stats['max_ongoing_requests']:g}"
                why = (
                    f"{ctx.total_num_requests:.1f} requests run or wait, and {each} fill a replica"
                )
                return f"{why}: {_replicas(need)}, {share} filled"
            case _:
                why = f"forwards run for as long as would fill the time of {stats['busy']:.2f}"
        return f"{why} replicas: {_replicas(need)}, {share} filled"

    def _publish(self, ctx: AutoscalingContext, decision: ScalingDecision) -> None:
        """Write a decision for those who ask why, if it is another one or the last is old."""
        last = self._published
        if last is not None:
            same = replace(decision, why=last.why, at=last.at) == last
            if same and decision.at - last.at < PUBLISH_S:
                return
        if decision.needed != decision.target and (last is None or last.needed != decision.needed):
            logger.info(
                "%s needs %s: %s", ctx.deployment_name, _replicas(decision.needed), decision.why
            )
        self._published = decision
        try:
            ScalingDecisions(ctx.app_name or "").put(ctx.deployment_name, decision)
        except Exception:  # an outermost edge: the controller has to go on
            if not self._told_failure:
                logger.exception("decisions of autoscaling cannot be written; they are in the log")
            self._told_failure = True


def _rounded(need: float) -> float:
    """Two decimals, so that a hundredth of a replica starts none; but not 0 if there is a need."""
    return max(0.01, round(need, 2)) if need > 0 else 0.0


def _fresh_stats(ctx: AutoscalingContext) -> Stats | str:
    """The stats of all replicas together, or why they cannot be gone by."""
    reports: Mapping[str, Mapping[Any, Any]] = ctx.raw_metrics or {}
    latest = {
        replica: series[-1].timestamp
        for replica, series in reports.get("slots", {}).items()
        if series
    }
    if not latest:
        return "no replica has reported its load yet"
    interval = ctx.config.metrics_interval_s if ctx.config else 10.0
    age = (ctx.current_time or 0.0) - min(latest.values())
    if age > STALE_REPORTS * interval + 10:
        return f"the load of a replica was last reported {age:.0f} s ago"
    means: Mapping[str, Mapping[Any, float]] = ctx.aggregated_metrics or {}
    sums = {
        name: sum(means.get(name, {}).values()) for name in ("slots", "kv_cache", "queue", "busy")
    }
    bounds = ("target_queue_s", "max_ongoing_requests")
    return sums | {name: max(means.get(name, {}).values(), default=0.0) for name in bounds}


def _replicas(count: float) -> str:
    return "1 replica" if count == 1 else f"{count:g} replicas"
