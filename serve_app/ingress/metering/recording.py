"""The catalog and the calls as one request sees them: the same, and its account is kept.

Routes work with these through :func:`~serve_app.ingress.routes.context.services_of`, and know
nothing of accounts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from deployments.seam.generation import GenerationRequest
from deployments.seam.tokens import TokenCounts
from serve_app.ingress.catalog import Catalog, ModelCard
from serve_app.ingress.cluster.deployment_client import ChunkStream, DeploymentClient
from serve_app.ingress.metering.record import RequestRecord


class RecordingCatalog(Catalog):
    """A catalog that notes which model is found for which task."""

    def __init__(self, catalog: Catalog, account: RequestRecord) -> None:
        vars(self).update(vars(catalog))  # shares everything
        self._account = account

    def resolve(self, task: str, name: str | None, field: str = "model_name") -> ModelCard:
        self._account.asked_for(task)
        card = super().resolve(task, name, field)
        self._account.found(task, card.name)
        return card

    def resolve_first(
        self, tasks: Iterable[str], name: str | None, field: str = "model_name"
    ) -> tuple[str, ModelCard]:
        task, card = super().resolve_first(tasks, name, field)
        self._account.found(task, card.name)
        return task, card


class RecordingClient(DeploymentClient):
    """Calls that note how long models take, and how many tokens they read and write."""

    def __init__(self, calls: DeploymentClient, account: RequestRecord) -> None:
        vars(self).update(vars(calls))  # shares everything
        self._account = account

    async def call(
        self,
        family: str,
        method: str,
        request: Any,
        fields: Mapping[str, str] | None = None,
        *,
        within_s: float | None = None,
    ) -> Any:
        model: str | None = getattr(request, "model", None)  # not every call asks a model
        use = None if model is None else self._account.use(model, method)
        answer = await super().call(family, method, request, fields, within_s=within_s)
        if use is not None:
            # A problem counts no tokens, nor does a label or a box of an image.
            self._account.answered(use, getattr(answer, "token_counts", TokenCounts()))
        return answer

    async def open_stream(
        self,
        family: str,
        method: str,
        request: GenerationRequest,
        fields: Mapping[str, str] | None = None,
    ) -> ChunkStream:
        use = self._account.use(request.model, method)
        bursts = await super().open_stream(family, method, request, fields)
        bursts.watch = self._account.streamed(use, request.model, request.choices).note
        return bursts
