"""Calls the models' deployments through their Serve handles, with deadlines and retries.

Serve's router, which belongs to a handle, chooses the replica of a call.
"""

from __future__ import annotations

import asyncio
import copy
import math
from collections.abc import Awaitable, Callable, Iterable, Mapping, Set
from functools import partial
from types import MappingProxyType
from typing import Any

from ray.serve.exceptions import DeploymentUnavailableError

from configs.detection import Inspection
from deployments.seam.call_context import CallContext, ContextualCall
from deployments.seam.decisions import DecisionRequest
from deployments.seam.generation import GenerationRequest
from deployments.seam.problems import Problem
from deployments.seam.replicas import ModelOrder
from deployments.seam.timings import TimedResult
from serve_app.ingress.cluster.admission import Admission, Place
from serve_app.ingress.cluster.attempts import Attempts, replica_lost, wait_until
from serve_app.ingress.cluster.call_observer import CallObserver
from serve_app.ingress.cluster.chunk_stream import ChunkStream
from serve_app.ingress.cluster.family_load import Tenant, family_load
from serve_app.ingress.cluster.family_watch import FamilyWatch, WhyNot
from serve_app.ingress.cluster.handle_router import HandleRouter
from serve_app.ingress.cluster.joined_calls import CallJoiner
from serve_app.ingress.cluster.replica_failures import ReplicaLost, result_of, translated
from serve_app.ingress.errors import ServiceError, TooManyRequests, check_family, from_problem
from serve_app.ingress.traceparent import traceparent_here

SERIALIZATION = {"request_serialization": "pickle", "response_serialization": "pickle"}
"""Serve's default, ``cloudpickle``, takes three times as long. It is for values whose classes the
other side cannot import; both sides can import the classes of ``deployments.seam``."""

UNJOINED = (GenerationRequest, DecisionRequest, ModelOrder, Inspection)
"""Requests that never share a list. Generation and inspection take long; a generation request, or
one for decisions, belongs on the replica that has its prefix, and an order on the one that is to
load the model."""


class DeploymentClient:
    """Calls methods of deployments, with a deadline, cancellation, and a retry for lost replicas.

    ``handles`` maps a family's name to its ``DeploymentHandle``. ``timeout_s`` is the deadline of a
    request, from the call to the last byte of its answer. For ``stall_timeout_s`` see
    :class:`~serve_app.ingress.cluster.attempts.Attempts`. Calls to the families in ``joined``
    travel together while the way is busy: those of ``FamilyDeployment`` can take such lists.
    ``parallel`` says of families how many calls one replica works on at a time; calls to these are
    refused where they could not be answered in time (:mod:`serve_app.ingress.cluster.admission`).
    ``why_not`` ends the calls that wait for a family whose replicas cannot be started.
    """

    def __init__(
        self,
        handles: Mapping[str, Any],
        timeout_s: float,
        stall_timeout_s: float = math.inf,
        joined: Iterable[str] = (),
        parallel: Mapping[str, int] = MappingProxyType({}),
        why_not: WhyNot | None = None,
    ) -> None:
        self._handles = {name: handle.options(**SERIALIZATION) for name, handle in handles.items()}
        self._streams = {name: each.options(stream=True) for name, each in self._handles.items()}
        self._methods: dict[tuple[str, str, bool], Any] = {}
        self._timeout_s = timeout_s
        self._stall_timeout_s = stall_timeout_s
        self._observer: CallObserver | None = None
        self._context: CallContext | None = None
        self._deadline = math.inf
        self._why_not = why_not
        self._families: Set[str] = frozenset()
        self._begun: set[str] | None = None  # the families that have done a part of this request
        self._joiners = {
            family: CallJoiner(
                self._streams[family],
                partial(self._remote, family),
                partial(self.broadcast, family),
            )
            for family in joined
        }
        self.admission = Admission(
            {
                family: family_load(HandleRouter(self._streams[family]), calls)
                for family, calls in parallel.items()
            }
        )

    def for_request(
        self,
        context: CallContext | None,
        observer: CallObserver | None = None,
        deadline: float | None = None,
        families: Set[str] = frozenset(),
    ) -> DeploymentClient:
        """The same client, with the same handles, for the calls of one request.

        They carry ``context`` to the replicas, and ``observer`` is notified of them. They end by
        the ``deadline`` of the request, in the time of the event loop, if it has one. If there are
        ``families``, they are the only ones that may be called.
        """
        client = copy.copy(self)
        client._context = context
        client._observer = observer
        client._deadline = math.inf if deadline is None else deadline
        client._families = families
        client._begun = set()
        return client

    async def call(
        self,
        family: str,
        method: str,
        request: Any,
        fields: Mapping[str, str] | None = None,
        *,
        timeout_s: float | None = None,
    ) -> Any:
        """The result of one call. Raises :class:`ServiceError` if it fails.

        A :class:`~deployments.seam.problems.Problem` of the whole request is raised as one too;
        ``fields`` translates the names of the request's fields to those of the route.
        """
        check_family(family, self._families)
        observed = self._observer and self._observer.call_started(request)
        attempts = self._attempts(family, timeout_s)
        attempts.check()
        # A call with a time of its own is an order, which is not one of the requests that wait.
        with self._place(family, request, attempts) if timeout_s is None else Place() as place:
            answer = await self._answer(family, method, request, attempts)
            if isinstance(answer, TimedResult):
                if observed:
                    observed.timing_received(answer.timing)
                answer = answer.result
            if isinstance(answer, Problem):
                raise self._refused(family, from_problem(answer, fields))
            place.answered(answer)
            self._done(family, place)
        if observed:
            observed.result_received(answer)
        return answer

    async def _answer(self, family: str, method: str, request: Any, attempts: Attempts) -> Any:
        is_retry = False
        while True:
            attempts.begin()
            try:
                return await attempts.wait(
                    self._result(family, method, request, attempts, is_retry)
                )
            except ReplicaLost:
                attempts.retry()
                is_retry = True
            except TooManyRequests as error:
                raise self._refused(family, error) from None

    def _place(self, family: str, request: Any, attempts: Attempts) -> Place:
        context = self._context or CallContext()
        tenant = Tenant(context.tenant, context.weight)
        begun = self._begun or ()
        return self.admission.enter(family, request, attempts.seconds_left, tenant, begun)

    def _done(self, family: str, place: Place) -> None:
        if self._begun is not None and place.is_counted:
            self._begun.add(family)

    def _refused(self, family: str, error: ServiceError) -> ServiceError:
        if isinstance(error, TooManyRequests):
            self.admission.with_delay(family, error)
        return error

    @property
    def _timed(self) -> bool:
        return self._observer is not None and self._observer.timed

    async def open_stream(
        self,
        family: str,
        method: str,
        request: GenerationRequest,
        fields: Mapping[str, str] | None = None,
    ) -> ChunkStream:
        """Start a stream and wait for its first tokens, so that a failure still has a status."""
        check_family(family, self._families)
        observed = self._observer and self._observer.call_started(request)
        attempts = self._attempts(family, None)
        attempts.check()

        def send(request: GenerationRequest) -> Any:
            in_context = self._in_context(request, attempts)
            return self._method(family, method, stream=True).remote(in_context)

        place = self._place(family, request, attempts)
        try:
            has_left = HandleRouter(self._streams[family]).has_left
            stream = ChunkStream(send, request, attempts, fields, place, has_left)
            await stream.start()
            self._done(family, place)
        except BaseException as error:
            place.close(error)
            if isinstance(error, ServiceError):
                raise self._refused(family, error) from None
            raise
        if observed:
            stream.observe(observed.stream_started())
        return stream

    async def broadcast(
        self, family: str, method: str, request: Any, timeout_s: float
    ) -> list[Any | ServiceError]:
        """The result of every running replica of a family, or the error of one that failed.

        No replica is started: for a family without replicas the list is empty. A
        broadcast bypasses Serve's queue limits, so clients must not be able to cause many.
        """
        deadline = asyncio.get_running_loop().time() + timeout_s
        late = f"The replicas of {family} could not be reached in time."
        try:
            broadcast = self._handles[family].broadcast(method, request)
            # Serve's ``results_async`` loses every answer when one replica is late.
            results = await wait_until(deadline, broadcast._fetch_replica_results_async(), late)
        except DeploymentUnavailableError:
            return []
        except ServiceError as error:
            return [error]
        except Exception as error:  # noqa: BLE001  Serve may raise anything while it finds replicas
            return [_as_service_error(translated(error))]
        return list(await asyncio.gather(*(_outcome(result, deadline) for result in results)))

    def _attempts(self, family: str, timeout_s: float | None) -> Attempts:
        limit = self._timeout_s if timeout_s is None else timeout_s
        left = self._deadline - asyncio.get_running_loop().time()
        watch = self._why_not and FamilyWatch(family, self._runs(family), self._why_not)
        return Attempts(min(limit, left), self._stall_timeout_s, watch)

    def _runs(self, family: str) -> Callable[[], bool]:
        """Whether a replica of the family is known; Serve's handles share one router."""
        return lambda: HandleRouter(self._handles[family]).is_running

    def _method(self, family: str, method: str, *, stream: bool = False) -> Any:
        """A method of a handle, cached because Serve makes a new handle for every attribute."""
        key = (family, method, stream)
        if key not in self._methods:
            handles = self._streams if stream else self._handles
            self._methods[key] = getattr(handles[family], method)
        return self._methods[key]

    def _in_context(self, request: Any, attempts: Attempts) -> Any:
        """What to send: the request of a call, in the context of the client's request if any."""
        if self._context is None and not self._timed:
            return request
        context = (self._context or CallContext())._replace(
            seconds_left=attempts.seconds_left, traceparent=traceparent_here()
        )
        return ContextualCall(request, context, self._timed)

    def _result(
        self, family: str, method: str, request: Any, attempts: Attempts, is_retry: bool
    ) -> Awaitable[Any]:
        """One attempt. A second one travels alone: a request that ends its replica must not do so
        twice to the same companions."""
        joiner = None if isinstance(request, UNJOINED) else self._joiners.get(family)
        request = self._in_context(request, attempts)
        if joiner is None:
            return self._remote(family, method, request)
        return joiner.call(method, request, alone=is_retry)

    async def _remote(self, family: str, method: str, request: Any) -> Any:
        response = self._method(family, method).remote(request)
        try:
            return await result_of(response)
        except asyncio.CancelledError:
            response.cancel()
            raise


async def _outcome(result: Any, deadline: float) -> Any | ServiceError:
    """One replica's result. Its failure is returned, so that the other results are not lost."""
    try:
        return await wait_until(deadline, result_of(result.get_async()))
    except (ServiceError, ReplicaLost) as error:
        result.cancel()
        return _as_service_error(error)
    except asyncio.CancelledError:
        result.cancel()
        raise


def _as_service_error(error: ServiceError | ReplicaLost) -> ServiceError:
    return replica_lost() if isinstance(error, ReplicaLost) else error
