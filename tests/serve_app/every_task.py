"""An application whose only model does every task, over a family that answers at once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import numpy as np
from fastapi import FastAPI

from configs.profile import Profile
from configs.settings import Settings
from deployments.seam.captioning import CaptionResult
from deployments.seam.classification import ClassificationResult, LabelScore
from deployments.seam.decisions import DecisionRequest, DecisionResult
from deployments.seam.embeddings import ClusterResult, EmbeddingResult
from deployments.seam.entities import Entity, EntityResult
from deployments.seam.fill_mask import FillMaskResult, TokenPrediction
from deployments.seam.generation import (
    GeneratedSequence,
    GenerationRequest,
    GenerationResult,
    PromptLogprobs,
    Token,
    TokenChunk,
    TokenLogprob,
)
from deployments.seam.image_generation import ImageGenerationRequest, ImageGenerationResult
from deployments.seam.question_answering import AnswerSpan, ContextQuestionResult
from deployments.seam.replicas import ModelOrder, ModelStatus, ReplicaReport, UnloadResult
from deployments.seam.reranking import RerankResult
from deployments.seam.summarization import Summary, SummaryResult
from deployments.seam.text2text import Text2TextOutput, Text2TextResult
from deployments.seam.tokenization import DetokenizeResult, TokenizeResult
from deployments.seam.transcription import Segment, TranscriptionResult
from deployments.seam.vision import (
    Detection,
    DetectionResult,
    ImageSegment,
    SegmentationResult,
    VisualAnswer,
    VisualQuestionResult,
)
from serve_app.ingress.app import create_app
from serve_app.ingress.catalog import Catalog
from serve_app.ingress.cluster.deployment_client import DeploymentClient
from serve_app.ingress.routes.context import Services
from serve_app.registry.task_names import all_tasks, shipped_routers
from tests.serve_app import house
from tests.serve_app.local_handle import Contextual, LocalHandle

MODEL = "house/model"
LABELS = (LabelScore("a", 0.75), LabelScore("b", 0.25))


class EveryTask(Contextual):
    """Answers any request with a result of its task, and keeps the requests."""

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[Any] = []

    async def loaded_models(self, request: None) -> ReplicaReport:
        return ReplicaReport("replica-1", "node-1", (ModelStatus(MODEL, "warm"),))

    async def load_model(self, order: ModelOrder) -> ReplicaReport:
        return await self.loaded_models(None)

    async def unload_model(self, order: ModelOrder) -> UnloadResult:
        return UnloadResult("replica-1", "node-1", 0, 0.0)

    async def generate(self, request: GenerationRequest) -> GenerationResult:
        self.requests.append(request)
        logprobs = (_logprob(request),) if request.sampling.logprobs else ()
        sequence = GeneratedSequence("Hi", "stop", 1, logprobs, special=(False,) * len(logprobs))
        return GenerationResult(3, (sequence,) * request.choices)

    async def stream(self, request: GenerationRequest) -> AsyncIterator[TokenChunk]:
        self.requests.append(request)
        logprob = _logprob(request) if request.sampling.logprobs else None
        tokens = (Token(i, 0, 1, "Hi", "stop", logprob) for i in range(request.choices))
        yield TokenChunk(3, tuple(tokens))

    async def decide(self, request: DecisionRequest) -> DecisionResult:
        self.requests.append(request)
        shares = (
            {name: 1 / len(each.options) for name in each.options} for each in request.questions
        )
        return DecisionResult(tuple(shares), 9)

    async def tokenize(self, request: Any) -> TokenizeResult:
        self.requests.append(request)
        return TokenizeResult((1, 2), ("a", "b"), 9)

    async def detokenize(self, request: Any) -> DetokenizeResult:
        self.requests.append(request)
        return DetokenizeResult("a")

    async def embed(self, request: Any) -> EmbeddingResult:
        self.requests.append(request)
        count = len(request.texts)
        return EmbeddingResult(np.full((count, 2), 0.5, np.float32), (1,) * count)

    async def cluster(self, request: Any) -> ClusterResult:
        self.requests.append(request)
        count = len(request.embedding.texts)
        centers = np.full((1, 2), 0.5, np.float32)
        return ClusterResult((0,) * count, centers, tokens=(1,) * count)

    async def classify(self, request: Any) -> ClassificationResult:
        self.requests.append(request)
        count = len(request.texts)
        return ClassificationResult((LABELS,) * count, (1,) * count, ("a", "b"))

    async def zero_shot(self, request: Any) -> ClassificationResult:
        self.requests.append(request)
        scores = tuple(LabelScore(label, 0.5) for label in request.labels)
        return ClassificationResult((scores,) * len(request.texts), (1,) * len(request.texts))

    async def rerank(self, request: Any) -> RerankResult:
        self.requests.append(request)
        count = len(request.documents)
        return RerankResult(tuple(1.0 / (i + 1) for i in range(count)), (2,) * count)

    async def recognise(self, request: Any) -> EntityResult:
        self.requests.append(request)
        count = len(request.texts)
        return EntityResult(((Entity("NAME", 0.9, 0, 1),),) * count, (1,) * count)

    async def fill_mask(self, request: Any) -> FillMaskResult:
        self.requests.append(request)
        found = (TokenPrediction(1, "a", 0.9, "a"),)
        return FillMaskResult((found,) * len(request.texts), (1,) * len(request.texts))

    async def answer_from_context(self, request: Any) -> ContextQuestionResult:
        self.requests.append(request)
        return ContextQuestionResult((AnswerSpan("a", 0.9, 0, 1),), (3,))

    async def summarize(self, request: Any) -> SummaryResult:
        self.requests.append(request)
        return SummaryResult((Summary("short", 9, 3),) * len(request.texts))

    async def text2text(self, request: Any) -> Text2TextResult:
        self.requests.append(request)
        return Text2TextResult((Text2TextOutput("kurz", 9, 3),) * len(request.texts))

    async def classify_image(self, request: Any) -> ClassificationResult:
        self.requests.append(request)
        return ClassificationResult((LABELS,))

    async def caption(self, request: Any) -> CaptionResult:
        self.requests.append(request)
        return CaptionResult("a dot", 2)

    async def answer_question(self, request: Any) -> VisualQuestionResult:
        self.requests.append(request)
        return VisualQuestionResult((VisualAnswer("red", 0.9),))

    async def transcribe(self, request: Any) -> TranscriptionResult:
        self.requests.append(request)
        segment = Segment(0.0, 1.0, " Hi", (1, 2), 0.0, -0.5, 0.0, 1.0)
        return TranscriptionResult((segment,), "en", 1.0, 1, 2)

    async def detect(self, request: Any) -> DetectionResult:
        self.requests.append(request)
        return DetectionResult((Detection("dot", 0.9, 0.0, 0.0, 1.0, 1.0),))

    async def segment(self, request: Any) -> SegmentationResult:
        self.requests.append(request)
        return SegmentationResult((ImageSegment("dot", 0.9, "iVBORw0KGgo="),))

    async def generate_images(self, request: ImageGenerationRequest) -> ImageGenerationResult:
        self.requests.append(request)
        width, height = request.width or 64, request.height or 64
        return ImageGenerationResult((b"png",) * len(request.seeds), width, height, 3)


def _logprob(request: GenerationRequest) -> TokenLogprob:
    plain = TokenLogprob("Hi", -0.5, b"Hi", (("Hi", -0.5, b"Hi"),), (1,))
    if not request.sampling.prompt_logprobs:
        return plain
    prompt = PromptLogprobs((plain, plain), (False, False))
    return TokenLogprob(plain.text, -0.5, plain.raw, plain.top, plain.top_ids, prompt=prompt)


def application(family: EveryTask, **settings: Any) -> FastAPI:
    """Every router of the service, over one model that does every task."""
    model = {
        "name": MODEL,
        "tasks": [task.name for task in all_tasks()],
        "engine": "torch",
        "tool_calls": "hermes",
        "reads_images": True,
        "window": 1000,
        "max_tokens": 64,
        "pinned": True,
        "source": house.SOURCE,
    }
    only = {"name": "only", "deployment": "deployments.only:Only", "models": [model]}
    profile = Profile.model_validate({"name": "house", "families": [only]})
    made = Settings(**settings)
    client = DeploymentClient({"only": LocalHandle(family)}, made.request_timeout_s)
    services = Services(Catalog(profile, made), client, made, house.Ready())
    return create_app(services, shipped_routers())
