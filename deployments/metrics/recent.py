"""Averages and counts over the last requests."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable

from deployments.metrics.report import FinishedRequest, Performance

MAX_REQUESTS = 1000
MAX_AVERAGED = 100
GIB = 1024**3


class RecentRequests:
    """The last ``MAX_REQUESTS`` requests, each with the memory of its model when it ended."""

    def __init__(self) -> None:
        self._requests: deque[tuple[FinishedRequest, float | None]] = deque(maxlen=MAX_REQUESTS)

    def record(self, finished: FinishedRequest, memory_bytes: float | None) -> None:
        self._requests.append((finished, memory_bytes))

    def performance(self) -> Performance | None:
        """The number of requests, up to ``MAX_REQUESTS``; averages of the last ``MAX_AVERAGED``."""
        if not self._requests:
            return None
        latest = list(self._requests)[-MAX_AVERAGED:]
        requests = [request for request, _ in latest]
        seconds = [each.seconds for each in requests if each.seconds is not None]
        memory = [size / GIB for _, size in latest if size is not None]
        return Performance(
            total_requests=len(self._requests),
            average_inference_time=_mean(seconds),
            max_inference_time=max(seconds, default=None),
            min_inference_time=min(seconds, default=None),
            average_memory_usage=_mean(memory),
            model_usage=_counted(request.model for request in requests),
            task_usage=_counted(request.task for request in requests),
            success_rate=100.0 * sum(request.success for request in requests) / len(requests),
        )


def _mean(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _counted(names: Iterable[str]) -> dict[str, int]:
    return dict(Counter(names).most_common())
