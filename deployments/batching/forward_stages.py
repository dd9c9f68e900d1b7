"""Records a forward as a stage of those requests in it that asked for their timeline."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from deployments.batching.scheduler import QueuedItem


def record_forward(rows: Sequence[QueuedItem[Any, Any]], began: float, ended: float) -> None:
    """The wait and the forward of ``rows``, one batch. A request waits from its first row on."""
    asked = {row.request: row.request.recorder for row in reversed(rows) if row.request.recorder}
    if not asked:
        return
    requests = len({row.request for row in rows})
    for request, recorder in asked.items():
        queued_at = min(row.queued_at for row in rows if row.request is request)
        recorder.add("queue", queued_at, began)
        recorder.add("forward", began, ended, items=len(rows), requests=requests)
