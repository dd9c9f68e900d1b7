"""Vision: models that answer about an image in one forward: labels, answers, boxes, masks.

The tasks of a model in the profile say what it does. Models that write text about an image belong
to the captioning family.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from threading import Lock
from typing import Any, ClassVar, TypeAlias

import numpy as np

from configs.profile import ModelSpec
from deployments.batching.batcher import Batcher
from deployments.encoders.tokenization import configured_limit
from deployments.encoders.zero_shot import SCORE_FUNCTIONS, ranked, sigmoid, softmax
from deployments.images.boxes import detections
from deployments.images.decode import Picture
from deployments.images.image_models import ImageModel, ImageModels
from deployments.images.image_task import (
    ImageTask,
    PreprocessedImage,
    Tensors,
    on_device,
)
from deployments.images.preprocessing import refuse_elongated
from deployments.images.segmentation import model_class, segmenter
from deployments.metrics.meter import Meter
from deployments.models.config import FamilyConfig
from deployments.models.family import FamilyDeployment
from deployments.models.pretrained import load_model, load_processor
from deployments.seam.classification import ClassificationResult, LabelScore, ScoreFunction
from deployments.seam.problems import Problem
from deployments.seam.vision import (
    DetectionRequest,
    DetectionResult,
    ImageClassificationRequest,
    ImageRequest,
    SegmentationRequest,
    SegmentationResult,
    VisualAnswer,
    VisualQuestionRequest,
    VisualQuestionResult,
)

Answer: TypeAlias = (
    ClassificationResult | VisualQuestionResult | DetectionResult | SegmentationResult
)
AutoClass: TypeAlias = str | Callable[[Path, ModelSpec], str]
"""A class of transformers, or the function that says which one a checkpoint needs."""

TEMPLATE = "This is a photo of {}."
"""The sentence around a label, as in the zero-shot pipeline of transformers."""

MAX_QUOTED = 60
"""Characters of a label that an error message quotes."""


class Vision(FamilyDeployment[ImageModel[Answer]]):
    """The deployment of the vision family."""

    tasks: ClassVar[dict[str, str]] = {
        "image_classify": "labels images, by labels of the model's own",
        "image_zero_shot": "scores any labels against images",
        "visual_question": "answers questions about images",
        "detect": "finds things in images, and where",
        "segment": "finds the pixels of things in images",
    }
    one_task_a_model: ClassVar[bool] = True

    def __init__(self, config: FamilyConfig) -> None:
        meter = Meter(config.ledger)
        batcher = Batcher(config, meter, "max_batch_pixels")
        self._images = ImageModels(config, batcher, _open_task)
        super().__init__(config, self._images, batcher, meter)

    async def classify_image(
        self, request: ImageClassificationRequest
    ) -> ClassificationResult | Problem:
        """The ``top_k`` labels of the image, best first."""
        answer: ClassificationResult | Problem = await self._answer(request)
        return answer

    async def answer_question(
        self, request: VisualQuestionRequest
    ) -> VisualQuestionResult | Problem:
        """The ``top_k`` answers, best first, each with its score."""
        answer: VisualQuestionResult | Problem = await self._answer(request)
        return answer

    async def detect(self, request: DetectionRequest) -> DetectionResult | Problem:
        """The objects in the image, best first, in pixels of the image as a viewer shows it."""
        answer: DetectionResult | Problem = await self._answer(request)
        return answer

    async def segment(self, request: SegmentationRequest) -> SegmentationResult | Problem:
        """Masks of the image as a viewer shows it, each with its label."""
        answer: SegmentationResult | Problem = await self._answer(request)
        return answer

    async def _answer(self, request: ImageRequest) -> Any:
        return await self._images.answer(self._models, request)


def _open_task(config: FamilyConfig, spec: ModelSpec) -> ImageTask[Answer]:
    """Raises ``ValueError`` for a model with no task of this family, or with several."""
    able = [task for task in spec.tasks if task in TASKS]
    if len(able) != 1:
        raise ValueError(f"{spec.name}: expected one task of {', '.join(TASKS)}")
    auto_class, processor_class, task_of = TASKS[able[0]]
    folder = config.folder(spec)
    if not isinstance(auto_class, str):
        auto_class = auto_class(folder, spec)
    processor = load_processor(processor_class, folder, spec)
    model, device = load_model(auto_class, folder, config, spec)
    task = task_of(model, processor, device)
    return replace(task, preprocess=refuse_elongated(task.preprocess, processor))


def classifier(model: Any, processor: Any, device: str) -> ImageTask[Answer]:
    """A model with labels of its own."""
    names = names_of(model.config)
    multi_label = model.config.problem_type == "multi_label_classification"
    usual: ScoreFunction = "sigmoid" if multi_label else "softmax"

    def preprocess(
        image: Picture, request: ImageClassificationRequest
    ) -> PreprocessedImage | Problem:
        if request.labels:
            return Problem("validation", "the model has labels of its own", "labels")
        return PreprocessedImage(processor(images=image, return_tensors="pt"), image.size, request)

    def answer(tensors: Tensors, images: Sequence[PreprocessedImage]) -> list[ClassificationResult]:
        logits = as_numbers(model(**on_device(tensors, model, device)).logits)
        made = []
        for row, each in zip(logits, images, strict=True):
            function = SCORE_FUNCTIONS[each.request.scores or usual]
            made.append(_best(names, function(row), each.request))
        return made

    return ImageTask(preprocess, answer)


def zero_shot(model: Any, processor: Any, device: str) -> ImageTask[Answer]:
    """A CLIP-like model, which scores any label against an image.

    SigLIP scores each label independently (arXiv:2303.15343); the scores of others sum to one.
    """
    siglip = "siglip" in model.config.model_type
    padding = "max_length" if siglip else True
    window = configured_limit(processor.tokenizer, model.config.get_text_config())
    padding_lock = Lock()  # padding is a state of the tokenizer

    def read(request: ImageClassificationRequest) -> dict[str, Any] | Problem:
        template = request.template or TEMPLATE
        texts = [template.replace("{}", label) for label in request.labels]
        with padding_lock:
            counts = [len(ids) for ids in processor.tokenizer(texts, verbose=False)["input_ids"]]
            problem = _too_long(request.labels, counts, window)
            if problem is not None:
                return problem
            features = processor(text=texts, padding=padding, truncation=True, return_tensors="pt")
        return dict(features)

    def preprocess(
        image: Picture, request: ImageClassificationRequest
    ) -> PreprocessedImage | Problem:
        if not request.labels:
            return Problem("validation", "the model has no labels of its own", "labels")
        texts = read(request)
        if isinstance(texts, Problem):
            return texts
        features = {**texts, **processor.image_processor(images=image, return_tensors="pt")}
        # One image with all its labels a forward: the labels are a batch of their own.
        return PreprocessedImage(features, image.size, request, kind=object())

    def answer(tensors: Tensors, images: Sequence[PreprocessedImage]) -> list[ClassificationResult]:
        (only,) = images
        (logits,) = as_numbers(model(**on_device(tensors, model, device)).logits_per_image)
        probabilities = sigmoid(logits) if siglip else softmax(logits)
        return [_best(only.request.labels, probabilities, only.request)]

    return ImageTask(preprocess, answer)


def _too_long(labels: Sequence[str], counts: Sequence[int], window: int) -> Problem | None:
    """The first label with more tokens than the model reads."""
    for label, count in zip(labels, counts, strict=True):
        if count > window:
            quoted = label if len(label) <= MAX_QUOTED else f"{label[:MAX_QUOTED]}..."
            message = f"the label {quoted!r} has {count} tokens in its template; "
            return Problem("validation", f"{message}the model reads up to {window}", "labels")
    return None


def answerer(model: Any, processor: Any, device: str) -> ImageTask[Answer]:
    """A model with its own answers (ViLT): a sigmoid gives each its probability, as in training."""
    names = names_of(model.config)
    longest = model.config.max_position_embeddings

    def preprocess(image: Picture, request: VisualQuestionRequest) -> PreprocessedImage | Problem:
        features = processor(images=image, text=request.question, return_tensors="pt")
        tokens = features["input_ids"].shape[1]
        if tokens > longest:
            message = f"the question has {tokens} tokens; the model reads up to {longest}"
            return Problem("validation", message, "question")
        return PreprocessedImage(features, image.size, request)

    def answer(tensors: Tensors, images: Sequence[PreprocessedImage]) -> list[VisualQuestionResult]:
        logits = as_numbers(model(**on_device(tensors, model, device)).logits)
        return [
            VisualQuestionResult(
                tuple(
                    VisualAnswer(each.label, each.score)
                    for each in ranked(names, sigmoid(row))[: one.request.top_k]
                )
            )
            for row, one in zip(logits, images, strict=True)
        ]

    return ImageTask(preprocess, answer)


def detector(model: Any, processor: Any, device: str) -> ImageTask[Answer]:
    """A model that finds objects (DETR, YOLOS and their like)."""
    names = model.config.id2label

    def preprocess(image: Picture, request: DetectionRequest) -> PreprocessedImage | Problem:
        features = processor(images=image, return_tensors="pt")
        return PreprocessedImage(
            {k: v for k, v in features.items() if k != "labels"}, image.size, request
        )

    def answer(tensors: Tensors, images: Sequence[PreprocessedImage]) -> list[DetectionResult]:
        outputs = model(**on_device(tensors, model, device))
        sizes = [(height, width) for width, height in (each.size for each in images)]
        # Ask for every box: the request's own threshold is applied exactly, below.
        found = processor.post_process_object_detection(outputs, threshold=-1.0, target_sizes=sizes)
        return [
            DetectionResult(
                detections(
                    [names[label] for label in one["labels"].tolist()],
                    one["scores"].tolist(),
                    one["boxes"].cpu().double().numpy(),
                    each.size,
                    each.request.threshold,
                )
            )
            for one, each in zip(found, images, strict=True)
        ]

    return ImageTask(preprocess, answer)


TASKS: dict[str, tuple[AutoClass, str, Callable[[Any, Any, str], ImageTask[Any]]]] = {
    "image_classify": ("AutoModelForImageClassification", "AutoImageProcessor", classifier),
    "image_zero_shot": ("AutoModelForZeroShotImageClassification", "AutoProcessor", zero_shot),
    "visual_question": ("AutoModelForVisualQuestionAnswering", "AutoProcessor", answerer),
    "detect": ("AutoModelForObjectDetection", "AutoImageProcessor", detector),
    "segment": (model_class, "AutoImageProcessor", segmenter),
}
"""For each task the classes of transformers for model and processor, and the task's functions."""


def names_of(config: Any) -> tuple[str, ...]:
    return tuple(str(config.id2label[i]) for i in range(len(config.id2label)))


def as_numbers(logits: Any) -> Any:
    """float64 of the same shape, on the CPU: Apple's GPUs have no float64."""
    numbers: np.ndarray[Any, Any] = logits.cpu().double().numpy()
    return numbers


def _best(
    names: Sequence[str], probabilities: Any, request: ImageClassificationRequest
) -> ClassificationResult:
    best: tuple[LabelScore, ...] = ranked(names, probabilities)[: request.top_k]
    return ClassificationResult((best,))
