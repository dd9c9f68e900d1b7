"""Captioning: models that look at an image and write: captions, and answers to questions.

The class is chosen by the model's own configuration: an encoder with a decoder of its own
(``VisionEncoderDecoderModel``), BLIP's question answerer, or any image-and-text model, with or
without a chat template. Texts are decoded greedily.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

from configs.profile import ModelSpec
from deployments.batching.batcher import Batcher
from deployments.batching.decode_steps import DecodeSteps
from deployments.images.decode import Picture
from deployments.images.image_models import ImageModel, ImageModels
from deployments.images.image_task import ImageTask, PreprocessedImage, Tensors, on_device
from deployments.images.preprocessing import refuse_elongated
from deployments.metrics.meter import Meter
from deployments.models.config import FamilyConfig
from deployments.models.family import FamilyDeployment
from deployments.models.pretrained import load_model, load_processor, load_tokenizer
from deployments.seam.captioning import CaptionRequest, CaptionResult
from deployments.seam.problems import Problem
from deployments.seam.vision import VisualAnswer, VisualQuestionRequest, VisualQuestionResult

NEW_TOKENS = 64
"""The maximum of new tokens where neither the request nor the model sets one."""

INSTRUCTION = "Describe this image in one sentence."
"""The prompt of a chat model for a caption, unless the request has its own."""

Request: TypeAlias = CaptionRequest | VisualQuestionRequest


class Captioning(FamilyDeployment[ImageModel[CaptionResult]]):
    """The deployment of the captioning family."""

    tasks: ClassVar[dict[str, str]] = {
        "caption": "describes an image in words",
        "visual_question": "answers questions about images",
    }

    def __init__(self, config: FamilyConfig) -> None:
        meter = Meter(config.ledger)
        batcher = Batcher(config, meter, "max_batch_pixels")
        self._images = ImageModels(config, batcher, _open_task)
        super().__init__(config, self._images, batcher, meter)

    async def caption(self, request: CaptionRequest) -> CaptionResult | Problem:
        """The caption that the model writes."""
        return await self._images.answer(self._models, request)

    async def answer_question(
        self, request: VisualQuestionRequest
    ) -> VisualQuestionResult | Problem:
        """The one answer that the model writes, without a score."""
        written = await self._images.answer(self._models, request)
        if isinstance(written, Problem):
            return written
        return VisualQuestionResult((VisualAnswer(written.text, None),))


def _open_task(config: FamilyConfig, spec: ModelSpec) -> ImageTask[CaptionResult]:
    """Raises ``ValueError`` when the model cannot do what its tasks say."""
    import transformers

    folder = config.folder(spec)
    model_config = transformers.AutoConfig.from_pretrained(
        folder, local_files_only=True, trust_remote_code=spec.trust_remote_code
    )
    encoder_decoder = model_config.model_type == "vision-encoder-decoder"
    answers_only = any(
        name.endswith("ForQuestionAnswering") for name in model_config.architectures or ()
    )
    if encoder_decoder and "visual_question" in spec.tasks:
        raise ValueError(f"{spec.name} reads no questions")
    if answers_only and "caption" in spec.tasks:
        raise ValueError(f"{spec.name} writes no captions")
    auto_class = _auto_class(encoder_decoder, answers_only)
    model, device = load_model(auto_class, folder, config, spec)
    if encoder_decoder:
        processor = load_processor("AutoImageProcessor", folder, spec)
        tokenizer = load_tokenizer(folder, trust_remote_code=spec.trust_remote_code)
        preprocess = _images_only(processor)
    else:
        processor = tokenizer = load_processor("AutoProcessor", folder, spec)
        has_template = _has_template(processor)
        preprocess = _chat(processor) if has_template else _plain(processor, answers_only)
    longest = config.settings.decode_max_new_tokens
    preprocess = _bounded(refuse_elongated(preprocess, processor), model, longest)
    return ImageTask(preprocess, _GreedyWriter(model, tokenizer, device), by_steps=True)


def _auto_class(encoder_decoder: bool, answers_only: bool) -> str:
    if encoder_decoder:
        return "VisionEncoderDecoderModel"
    return "AutoModelForVisualQuestionAnswering" if answers_only else "AutoModelForImageTextToText"


Preprocess: TypeAlias = Callable[[Picture, Any], Any]
"""Features of one image with the request's text, or a :class:`Problem`."""


def _has_template(processor: Any) -> bool:
    return getattr(processor, "chat_template", None) is not None


def _images_only(processor: Any) -> Preprocess:
    """For models that read no text."""

    def preprocess(image: Picture, request: Any) -> Any:
        if request.prompt is not None:
            return Problem("validation", "the model takes no beginning of a caption", "prompt")
        return processor(images=image, return_tensors="pt")

    return preprocess


def _chat(processor: Any) -> Preprocess:
    """For models with a chat template."""

    def preprocess(image: Picture, request: Request) -> Any:
        content = [{"type": "image"}, {"type": "text", "text": _text_of(request) or INSTRUCTION}]
        text = processor.apply_chat_template(
            [{"role": "user", "content": content}], add_generation_prompt=True
        )
        return processor(images=[image], text=[text], return_tensors="pt")

    return preprocess


def _plain(processor: Any, answers_only: bool) -> Preprocess:
    """For models that continue a text: BLIP and similar ones (arXiv:2201.12086, 2301.12597)."""

    def preprocess(image: Picture, request: Request) -> Any:
        words = _text_of(request)
        if isinstance(request, VisualQuestionRequest) and not answers_only:
            words = f"Question: {request.question} Answer:"
        return processor(images=image, text=words, return_tensors="pt")

    return preprocess


def _text_of(request: Request) -> str | None:
    return request.question if isinstance(request, VisualQuestionRequest) else request.prompt


def _bounded(
    preprocess: Preprocess, model: Any, longest: int
) -> Callable[[Picture, Any], PreprocessedImage | Problem]:
    """``preprocess``, with the maximum of new tokens as the ``kind`` of its images.

    The maximum is the request's or the model's. It fits the model's window, and is at most
    ``longest``.
    """
    config = model.generation_config
    usual = min(config.max_new_tokens or NEW_TOKENS, longest)
    window = _window(model.config)

    def bounded(image: Picture, request: Request) -> PreprocessedImage | Problem:
        wanted = getattr(request, "max_new_tokens", None)
        if wanted is not None and wanted > longest:
            message = f"a caption has up to {longest} tokens here, not {wanted}"
            return Problem("validation", message, "max_new_tokens")
        features = preprocess(image, request)
        if isinstance(features, Problem):
            return features
        ids = features.get("input_ids")
        length = 1 if ids is None else int(ids.shape[1])
        if window is not None and length + (wanted or 1) > window:
            at_fault = "max_new_tokens" if wanted and length < window else "question"
            message = f"the model has room for {window} tokens; {length} of them are taken"
            return Problem("validation", message, at_fault)
        max_new_tokens = wanted or usual
        return PreprocessedImage(
            features,
            image.size,
            request,
            min(max_new_tokens, (window or max_new_tokens + length) - length),
        )

    return bounded


def _window(config: Any) -> int | None:
    """The positions of the decoder, where the configuration has their number."""
    writer = getattr(config, "decoder", None) or getattr(config, "text_config", None) or config
    positions: int | None = getattr(writer, "max_position_embeddings", None)
    return positions


@dataclass(frozen=True, slots=True)
class _GreedyWriter:
    """Writes the texts of a batch by greedy decoding. ``tokenizer`` may be a processor."""

    model: Any
    tokenizer: Any
    device: str

    def __call__(
        self, tensors: Tensors, images: Sequence[PreprocessedImage], steps: DecodeSteps
    ) -> list[CaptionResult | Problem]:
        from deployments.batching.greedy_decoding import stopping

        inputs = on_device(tensors, self.model, self.device)
        config = deepcopy(self.model.generation_config)
        config.update(
            do_sample=False,
            num_beams=1,
            max_length=None,
            min_length=None,
            min_new_tokens=None,
            max_new_tokens=images[0].kind,
        )
        ids = self.model.generate(
            **inputs, generation_config=config, stopping_criteria=stopping(steps)
        )
        # The prompt of a chat is not part of its answer; the beginning of a caption is.
        prompt_tokens = inputs["input_ids"].shape[1] if _has_template(self.tokenizer) else 0
        return [self._caption(row[prompt_tokens:], config) for row in ids.tolist()]

    def _caption(self, row: list[int], config: Any) -> CaptionResult:
        text = self.tokenizer.decode(row, skip_special_tokens=True).strip()
        special = {config.pad_token_id, config.bos_token_id, config.decoder_start_token_id}
        return CaptionResult(text, sum(token not in special for token in row))
