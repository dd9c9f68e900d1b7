"""What binds one replica: its models, its cores, the calls it sent back, the number of replicas."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from deployments.metrics import signals
from deployments.metrics.binding_limit import LIMITS, BindingLimit, FamilyLimits, of_replica
from deployments.metrics.report import MetricSample
from deployments.models.config import FamilyConfig
from deployments.models.cpu_use import CpuUse
from deployments.models.decision_follower import DecisionFollower
from deployments.models.joined_calls import CallRunner


class ReplicaBinding:
    """The binding limits of a replica, for its reports to the ledger.

    ``models`` gives the limit of each loaded model, ``decisions`` the decision on replicas.
    """

    def __init__(
        self,
        config: FamilyConfig,
        models: Callable[[], Iterable[BindingLimit | None]],
        calls: CallRunner,
        decisions: DecisionFollower,
    ) -> None:
        self._family = config.name
        self._on_gpu = config.gpu_fraction > 0
        self._models = models
        self._calls = calls
        self._refused = 0
        self._decisions = decisions
        self._cpu = CpuUse()
        self._report = FamilyLimits(config.name)

    def gauges(self) -> Iterator[MetricSample]:
        """Whether each limit binds, 1 or 0. Also makes the :meth:`report`."""
        self._report = self._now()
        binding = {each.limit for each in self._report.limits}
        for limit in LIMITS:
            yield signals.BINDING_LIMIT.of(self._family, limit, amount=limit in binding)

    def report(self) -> FamilyLimits:
        """What bound the replica when its gauges were read last."""
        return self._report

    def _now(self) -> FamilyLimits:
        refused, self._refused = self._calls.refused - self._refused, self._calls.refused
        scaling = self._decisions.decision
        limits = of_replica(
            self._models(),
            refused_calls=refused,
            cores_busy=None if self._on_gpu else self._cpu.busy(),
            scaling=scaling,
        )
        return FamilyLimits(self._family, limits, scaling)
