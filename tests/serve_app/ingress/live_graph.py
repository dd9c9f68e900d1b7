"""A graph whose operator has a folder of models, and a replica that inspects them truly."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from fastapi import FastAPI
from ray.exceptions import RayError

from configs.detection import DetectedModel, Inspection
from configs.settings import Settings
from deployments.models.inspection import ModelInspector
from deployments.seam.classification import ClassificationResult, LabelScore
from deployments.seam.embeddings import EmbeddingResult
from deployments.seam.live_models import OwnLiveModels
from deployments.seam.orders import OwnOrders
from deployments.seam.problems import Problem
from deployments.seam.replicas import ModelOrder, ModelStatus, ReplicaReport, UnloadResult
from serve_app.ingress.app import create_app, routers_of
from serve_app.ingress.catalog import Catalog
from serve_app.ingress.cluster.deployment_client import DeploymentClient
from serve_app.ingress.live_models import LiveModels
from serve_app.ingress.routes.context import Services
from tests.serve_app import house
from tests.serve_app.house import NATIVE
from tests.serve_app.local_handle import Family, LocalHandle, happens

SAFETENSORS = (2).to_bytes(8, "little") + b"{}"


class Replica(Family):
    """Inspects models truly, loads them at once, and answers with zeros."""

    def __init__(self, folder: Path, problem: Problem | None = None) -> None:
        super().__init__()
        self._inspector = ModelInspector(folder, None)
        self.answers = True
        self.problem = problem
        self.unlisted: Problem | None = None
        """What every inspection ends in."""
        self.inspections = 0
        self.loads = 0
        self.slow: frozenset[str] = frozenset()
        """The names of folders whose inspection does not end before ``release`` is set."""
        self.release = asyncio.Event()

    async def inspect_model(self, request: Inspection) -> DetectedModel | Problem:
        self.inspections += 1
        if Path(request.source.name).name in self.slow:
            self.began.set()
            await happens(self.release)
        if self.unlisted is not None:
            return self.unlisted
        return await self._inspector.inspect(request)

    async def loaded_models(self, request: None) -> ReplicaReport:
        if not self.answers:
            raise RayError
        return await super().loaded_models(request)

    async def load_model(self, order: ModelOrder) -> ReplicaReport | Problem:
        if self.problem is not None:
            return self.problem
        self.loads += 1
        self.holdings.append(ModelStatus(order.model, "warm", 7))
        return await self.loaded_models(None)

    async def unload_model(self, order: ModelOrder) -> UnloadResult:
        self.holdings = [each for each in self.holdings if each.model != order.model]
        return UnloadResult("replica-1", "node-1", 7, 0.1)

    async def embed(self, request: Any) -> EmbeddingResult:
        self.asked.append(request)
        return EmbeddingResult(np.zeros((len(request.texts), 2), np.float32), (1,), {})

    async def classify(self, request: Any) -> ClassificationResult:
        self.asked.append(request)
        return ClassificationResult(((LabelScore("glad", 0.9),),), (1,))


class Graph:
    """The house's graph, whose operator has a folder of models. Several may share a store."""

    def __init__(self, folder: Path, store: OwnLiveModels | None = None, **settings: Any) -> None:
        self.folder = folder
        self.store = store or OwnLiveModels()
        self.orders = OwnOrders()
        profile = house.profile()
        made = Settings(models_folder=folder, **settings)
        self.replica = Replica(folder)
        handles = {family.name: LocalHandle(self.replica) for family in profile.families}
        client = DeploymentClient(handles, made.request_timeout_s)
        live = LiveModels(profile, made, client, self.store, self.orders)
        catalog = Catalog(profile, made, live)
        services = Services(catalog, client, made, house.Ready(), self.orders)
        self.app: FastAPI = create_app(services, routers_of(profile))

    def model(self, name: str, architecture: str = "BertModel", **config: Any) -> None:
        """Put a model into the operator's folder."""
        home = self.folder / name
        home.mkdir(parents=True, exist_ok=True)
        told = {"architectures": [architecture], "model_type": "bert", **config}
        (home / "config.json").write_text(json.dumps(told))
        (home / "tokenizer.json").write_text("{}")
        (home / "model.safetensors").write_bytes(SAFETENSORS)

    async def embed(self, name: str) -> httpx.Response:
        return await house.post(
            self.app, f"{NATIVE}/embeddings", {"texts": "hello", "model_name": name}
        )

    async def order(self, name: str, body: Any = None) -> httpx.Response:
        return await house.post(self.app, f"{NATIVE}/models/{name}", body)

    async def unload(self, name: str) -> httpx.Response:
        transport = httpx.ASGITransport(self.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://house") as client:
            return await client.delete(f"{NATIVE}/models/{name}")

    async def listed(self) -> dict[str, Any]:
        answer = await house.get(self.app, f"{NATIVE}/models")
        return {model["name"]: model for model in answer.json()["models"]}
