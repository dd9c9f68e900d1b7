"""Image segmentation: what a model scores at its own resolution becomes masks of the image's size.

The answers are those of the ``image-segmentation`` pipeline of transformers, without its cost: it
scales the scores of every class to the size of the image, 7 GB for 150 classes and 12 million
pixels. Here the thread of the lane runs the model and drops the classes and queries that have no
mask; the threads that preprocess images make masks of the others.
"""

from __future__ import annotations

import io
from base64 import b64encode
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeAlias

import numpy as np
from PIL import Image

from configs.profile import ModelSpec
from deployments.images.decode import Picture
from deployments.images.image_task import (
    ImageTask,
    PreprocessedImage,
    Tensors,
    Unfinished,
    on_device,
)
from deployments.seam.problems import Problem
from deployments.seam.vision import (
    ImageSegment,
    SegmentationRequest,
    SegmentationResult,
    Subtask,
)

QUERY_OUTPUTS = {
    "detr": ("logits", "pred_masks"),
    "maskformer": ("class_queries_logits", "masks_queries_logits"),
    "mask2former": ("class_queries_logits", "masks_queries_logits"),
}
"""By type of model, the outputs with the classes and the masks of its queries. A model of another
type scores the classes of each pixel, and segments semantically alone."""

SUBTASKS: tuple[Subtask, ...] = ("panoptic", "instance", "semantic")
"""Without a subtask the first that the model can, as in the pipeline."""

DEFAULTS = {"threshold": 0.9, "mask_threshold": 0.5, "overlap_mask_area_threshold": 0.5}
"""The defaults of the pipeline, not of the functions that it calls."""

MAX_MASK_BYTES = 12 * 1024 * 1024
"""Of all PNG files of one image. In base64, 16 MiB; a message to the ingress has up to 64 MiB."""

PNG_COMPRESSION = 3
"""Takes half the time of Pillow's default, and a file of a few tenths more."""

MARGIN = 1e-5
"""Of the largest score: what rounding may change when a score is interpolated."""

Found: TypeAlias = tuple[str, float | None, Any]
"""A label, its score, and a tensor of truth values of shape (height, width)."""


def model_class(folder: Path, spec: ModelSpec) -> str:
    """The class of transformers for the segmentation model in ``folder``."""
    import transformers

    config = transformers.AutoConfig.from_pretrained(
        folder, local_files_only=True, trust_remote_code=spec.trust_remote_code
    )
    queries = config.model_type in QUERY_OUTPUTS
    return f"AutoModelFor{'Universal' if queries else 'Semantic'}Segmentation"


def segmenter(model: Any, processor: Any, device: str) -> ImageTask[SegmentationResult]:
    """A model that finds the pixels of things.

    Raises ``ValueError`` if the image processor cannot make segments of what the model scores.
    """
    made = Segmenter(model, processor, device)
    if not made.subtasks:
        raise ValueError(f"{type(processor).__name__} makes no segments of a model's scores")
    return ImageTask(made.preprocess, made.answer)


class Segmenter:
    """The functions of one segmentation model. ``subtasks`` are those that it can do."""

    def __init__(self, model: Any, processor: Any, device: str) -> None:
        self._model, self._processor, self._device = model, processor, device
        self._names = model.config.id2label
        self._type = model.config.model_type
        self.subtasks = tuple(
            each
            for each in SUBTASKS
            if hasattr(processor, f"post_process_{each}_segmentation")
            and (each == "semantic" or self._type in QUERY_OUTPUTS)
        )

    def preprocess(
        self, image: Picture, request: SegmentationRequest
    ) -> PreprocessedImage | Problem:
        problem = self._refused(request)
        if problem is not None:
            return problem
        features = self._processor(images=[image], return_tensors="pt")
        return PreprocessedImage(dict(features), image.size, request)

    def answer(
        self, tensors: Tensors, images: Sequence[PreprocessedImage]
    ) -> list[Unfinished[SegmentationResult]]:
        """One forward, and for each image what is left to do."""
        outputs = self._model(**on_device(tensors, self._model, self._device))
        subtasks = [self._subtask(each.request) for each in images]
        scores = self._semantic_scores(outputs) if "semantic" in subtasks else []
        return [
            _semantic(scores[i], self._names, each.size)
            if subtask == "semantic"
            else self._of_queries(outputs, i, subtask, each)
            for i, (subtask, each) in enumerate(zip(subtasks, images, strict=True))
        ]

    def _subtask(self, request: SegmentationRequest) -> Subtask:
        return request.subtask or self.subtasks[0]

    def _refused(self, request: SegmentationRequest) -> Problem | None:
        """A problem with a field that would have no effect."""
        subtask = self._subtask(request)
        if subtask not in self.subtasks:
            able = " or ".join(self.subtasks)
            return Problem("validation", f"the model can do {able} segmentation", "subtask")
        for name in DEFAULTS:
            if getattr(request, name) is not None and name not in self._honoured(subtask):
                message = f"{name} has no effect on the {subtask} segmentation of this model"
                return Problem("validation", message, name)
        return None

    def _honoured(self, subtask: Subtask) -> Iterable[str]:
        """The thresholds that the image processor looks at."""
        if subtask == "semantic":
            return ()
        return ("threshold",) if self._ranks_queries(subtask) else DEFAULTS

    def _ranks_queries(self, subtask: Subtask) -> bool:
        """Whether a segment is one of the best pairs of a query and a class, of all queries."""
        return subtask == "instance" and self._type != "detr"

    def _semantic_scores(self, outputs: Any) -> list[Any]:
        """Of each image, (classes, height, width) in the model's resolution."""
        scored = self._processor.post_process_semantic_segmentation(
            outputs, return_segmentation_scores=True
        )
        return [each.segmentation_scores for each in scored]

    def _of_queries(
        self, outputs: Any, i: int, subtask: Subtask, image: PreprocessedImage
    ) -> Unfinished[SegmentationResult]:
        """The masks of image ``i`` that its queries stand for."""
        given = {name: getattr(image.request, name) for name in DEFAULTS}
        options = {n: DEFAULTS[n] if value is None else value for n, value in given.items()}
        classes, masks = (getattr(outputs, name)[i].float() for name in QUERY_OUTPUTS[self._type])
        scores, labels = classes.softmax(-1).max(-1)
        kept = labels.ne(classes.shape[-1] - 1) & (scores > options["threshold"])
        if self._ranks_queries(subtask):
            kept[:] = True
        # Copies: of a view the tensors of the whole batch would stay.
        copied = (each[kept].cpu() for each in (classes, masks))
        named = dict(zip(QUERY_OUTPUTS[self._type], copied, strict=True))
        if subtask == "panoptic":
            options["label_ids_to_fuse"] = set()  # as the pipeline, and without its warning
        post_process = getattr(self._processor, f"post_process_{subtask}_segmentation")
        found = partial(_of_kept, post_process, named, options, self._names, image.size)
        return _unfinished(found, int(kept.sum()), named.values(), image.size)


def _semantic(scores: Any, names: Any, size: tuple[int, int]) -> Unfinished[SegmentationResult]:
    import torch

    classes = _winners(scores.float())
    kept = scores[classes].float().cpu()
    labels = [names[number] for number in torch.nonzero(classes).flatten().tolist()]
    return _unfinished(partial(_best_classes, kept, labels, size), len(labels), (kept,), size)


def _winners(scores: Any) -> Any:
    """Which of (classes, height, width) may score best in some pixel of a larger image.

    A pixel's score is a weighted mean of four neighbours: a class whose highest is below another's
    lowest of the same four is not the best there.
    """
    from torch.nn import functional as F  # noqa: N812

    cells = F.pad(scores[None], (0, 1, 0, 1), mode="replicate")  # of one row or column, too
    highest, lowest = F.max_pool2d(cells, 2, 1)[0], -F.max_pool2d(-cells, 2, 1)[0]
    margin = MARGIN * scores.abs().amax()
    return (highest + margin >= lowest.amax(0)).flatten(1).any(1)


def _unfinished(
    found: partial[Iterator[Found]], masks: int, kept: Iterable[Any], size: tuple[int, int]
) -> Unfinished[SegmentationResult]:
    """``masks`` is how many of the image's size there may be."""
    width, height = size
    return Unfinished(
        masks * width * height,
        f"up to {masks} masks of {width} x {height} pixels",
        sum(each.nbytes for each in kept),
        partial(_encoded, found),
    )


def _best_classes(scores: Any, labels: Sequence[str], size: tuple[int, int]) -> Iterator[Found]:
    """The pixels of each class that scores best somewhere.

    It scales one class at a time, and so needs a dozen bytes a pixel for any number of them.
    """
    import torch
    from torch.nn import functional as F  # noqa: N812

    best: Any = None
    chosen: Any = None
    for number in range(len(scores)):
        scaled = F.interpolate(
            scores[number][None, None], size=size[::-1], mode="bilinear", align_corners=False
        )[0, 0]
        if best is None:
            best, chosen = scaled, torch.zeros(scaled.shape, dtype=torch.int16)
        else:
            chosen.masked_fill_(scaled > best, number)
            torch.maximum(best, scaled, out=best)
    for number, label in enumerate(labels):
        mask = chosen == number
        if mask.any():
            yield label, None, mask


def _of_kept(
    post_process: Any,
    outputs: dict[str, Any],
    options: dict[str, Any],
    names: Any,
    size: tuple[int, int],
) -> Iterator[Found]:
    if not all(map(len, outputs.values())):
        return  # no query is left, and some of the functions cannot scale none
    batch = SimpleNamespace(**{name: tensor[None] for name, tensor in outputs.items()})
    (found,) = post_process(batch, target_sizes=[size[::-1]], **options)
    for segment in found["segments_info"]:
        mask = found["segmentation"] == segment["id"]
        yield names[segment["label_id"]], segment["score"], mask


def _encoded(found: partial[Iterator[Found]]) -> SegmentationResult | Problem:
    """PNG files of the masks, 255 where a thing is. Runs the model's post-processing."""
    import torch

    segments, nbytes = [], 0
    with torch.inference_mode():
        for label, score, mask in found():
            file = io.BytesIO()
            picture = Image.fromarray(mask.numpy().astype(np.uint8) * np.uint8(255))
            picture.save(file, "PNG", compress_level=PNG_COMPRESSION)
            nbytes += file.tell()
            if nbytes > MAX_MASK_BYTES:
                message = f"its masks are files of more than {MAX_MASK_BYTES} bytes together"
                return Problem("validation", message, "image")
            segments.append(ImageSegment(label, score, b64encode(file.getvalue()).decode()))
    return SegmentationResult(tuple(segments))
