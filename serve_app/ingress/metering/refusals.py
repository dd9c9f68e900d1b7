"""Counts inference requests that the front refused before the application saw them."""

from __future__ import annotations

from starlette.types import Scope

from deployments.seam.tokens import TokenCounts
from serve_app.ingress.caller import admitted_key
from serve_app.ingress.metering.key_use import key_samples
from serve_app.ingress.metering.metering import Metering
from serve_app.ingress.metering.middleware import record_of
from serve_app.ingress.metering.purposes import Purposes
from serve_app.ingress.metering.record import RequestRecord
from serve_app.ingress.metering.request_log import Ending, RequestLog
from serve_app.ingress.metering.responses import NO_ROUTE, route_of
from serve_app.ingress.route_table import RouteTable


class Refusals:
    """Records each as a failed request, and as rejected for its reason."""

    def __init__(
        self, routes: RouteTable, metering: Metering, purposes: Purposes, log: RequestLog
    ) -> None:
        self._routes = routes
        self._metering = metering
        self._purposes = purposes
        self._log = log

    def note(self, scope: Scope, reason: str) -> None:
        purpose = self._purposes.of(scope["method"], scope["path"])
        counted_already = record_of(scope) is not None
        if purpose is None or counted_already or route_of(self._routes, scope) == NO_ROUTE:
            return
        record = RequestRecord(purpose.task, fixed=purpose.fixed)
        samples, finished = record.close(success=False, reason=reason)
        key = admitted_key(scope)
        if key is not None:
            samples += key_samples(key, TokenCounts(), success=False)
        self._metering.record(samples, finished)
        self._log.write(scope, record, finished, Ending(None, reason))
