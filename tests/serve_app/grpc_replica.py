"""A replica in this process behind Serve's own gRPC code, on both sides, and a handle to it.

What a family raises, and what a replica that ends does to its calls, arrives here as it does from
another machine.
"""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
from ray import ActorID
from ray.serve._private.common import ReplicaQueueLengthInfo, RequestMetadata
from ray.serve._private.replica import Replica
from ray.serve._private.replica_result import gRPCReplicaResult
from ray.serve.generated import serve_pb2, serve_pb2_grpc
from ray.serve.handle import DeploymentResponse, DeploymentResponseGenerator

GENERATED: Any = serve_pb2
SERVICE: Any = serve_pb2_grpc


class GrpcReplica:
    """Serves ``family`` on a port of the loopback interface: what Serve's replica does for it."""

    HandleRequest = Replica.HandleRequest
    HandleRequestStreaming = Replica.HandleRequestStreaming
    HandleRequestWithRejection = Replica.HandleRequestWithRejection
    HandleRequestWithRejectionStreaming = Replica.HandleRequestWithRejectionStreaming

    def __init__(self, family: Any) -> None:
        self._family = family
        self._server = grpc.aio.server()
        SERVICE.add_ASGIServiceServicer_to_server(self, self._server)
        self.port = self._server.add_insecure_port("127.0.0.1:0")

    async def start(self) -> None:
        await self._server.start()

    async def end(self) -> None:
        """As a replica ends whose time to shut down is over."""
        await self._server.stop(0)

    async def handle_request_with_rejection(
        self, metadata: RequestMetadata, *given: Any
    ) -> AsyncGenerator[Any, None]:
        yield ReplicaQueueLengthInfo(accepted=True, num_ongoing_requests=1)
        called = getattr(self._family, metadata.call_method)(*given)
        if metadata.is_streaming:
            async for item in called:
                yield item
        else:
            yield await called


class GrpcHandle:
    """The part of ``DeploymentHandle`` that the ingress uses.

    Each call goes to the next replica.
    """

    def __init__(self, *replicas: GrpcReplica) -> None:
        self.channels = [grpc.aio.insecure_channel(f"127.0.0.1:{r.port}") for r in replicas]
        self._left = list(self.channels)
        self.calls = 0

    def options(self, *, stream: bool = False, **serialization: str) -> Any:
        return _Handle(self, stream)

    def next_stub(self) -> Any:
        self.calls += 1
        return SERVICE.ASGIServiceStub(self._left.pop(0) if len(self._left) > 1 else self._left[0])


class _Handle:
    def __init__(self, handle: GrpcHandle, stream: bool) -> None:
        self._handle = handle
        self._stream = stream

    def options(self, *, stream: bool = False, **serialization: str) -> _Handle:
        return _Handle(self._handle, stream)

    def __getattr__(self, method: str) -> _Method:
        return _Method(self._handle, method, self._stream)


class _Method:
    def __init__(self, handle: GrpcHandle, method: str, stream: bool) -> None:
        self._handle, self._method, self._stream = handle, method, stream

    def remote(self, request: Any) -> Any:
        metadata = RequestMetadata(
            request_id="id-1",
            internal_request_id="internal-1",
            call_method=self._method,
            is_streaming=self._stream,
            _by_reference=False,
            _on_separate_loop=False,
            request_serialization="pickle",
            response_serialization="pickle",
        )
        routed = asyncio.ensure_future(self._routed(metadata, request))
        response: Any = DeploymentResponseGenerator if self._stream else DeploymentResponse
        return response(routed, metadata, _is_router_running_in_separate_loop=False)

    async def _routed(self, metadata: RequestMetadata, request: Any) -> gRPCReplicaResult:
        """As Serve's router sends a request, and waits until it is accepted."""
        stub = self._handle.next_stub()
        asked = GENERATED.ASGIRequest(
            pickled_request_metadata=pickle.dumps(metadata),
            request_args=pickle.dumps((request,)),
            request_kwargs=pickle.dumps({}),
        )
        send = (
            stub.HandleRequestWithRejectionStreaming
            if self._stream
            else stub.HandleRequestWithRejection
        )
        loop = asyncio.get_running_loop()
        result = gRPCReplicaResult(send(asked), metadata, ActorID.nil(), loop, with_rejection=True)
        await result.get_rejection_response()
        return result


@asynccontextmanager
async def replicas_of(*families: Any) -> AsyncIterator[tuple[GrpcHandle, list[GrpcReplica]]]:
    """A handle to one replica a family, and the replicas."""
    replicas = [GrpcReplica(family) for family in families]
    for replica in replicas:
        await replica.start()
    handle = GrpcHandle(*replicas)
    try:
        yield handle, replicas
    finally:
        for channel in handle.channels:
            await channel.close()
        for replica in replicas:
            await replica.end()
