"""Which family serves a model, and for which tasks, by the names in its configuration."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class ModelKind:
    """The import path of a family's class, and the tasks that a model does there.

    ``reads_images``: a text generator that answers chats about images.
    """

    deployment: str
    tasks: tuple[str, ...]
    reads_images: bool = False


GENERATOR = ModelKind("deployments.generation:Generation", ("generate", "chat"))
VISION_LANGUAGE = ModelKind(GENERATOR.deployment, GENERATOR.tasks, reads_images=True)
EMBEDDER = ModelKind("deployments.embeddings:Embeddings", ("embed",))
RERANKER = ModelKind("deployments.reranking:Reranking", ("rerank",))
_SEQ2SEQ = "deployments.summarization:Summarization"
SUMMARIZER = ModelKind(_SEQ2SEQ, ("summarize",))
TRANSLATOR = ModelKind(_SEQ2SEQ, ("translate",))
REWRITER = ModelKind(_SEQ2SEQ, ("text2text",))
T5 = ModelKind(_SEQ2SEQ, ("summarize", "translate", "text2text"))
_MARKERS = "deployments.entities:Entities"
TAGGER = ModelKind(_MARKERS, ("entities",))
READER = ModelKind(_MARKERS, ("question_answering",))
_CLASSES = "deployments.classification:Classification"
ZERO_SHOT = ModelKind(_CLASSES, ("zero_shot",))
SENTIMENT = ModelKind(_CLASSES, ("sentiment",))
TOPIC = ModelKind(_CLASSES, ("topic",))
ANY_LABELS = ModelKind(_CLASSES, ("sentiment", "topic"))
MASK_FILLER = ModelKind(_CLASSES, ("fill_mask",))
_VISION = "deployments.vision:Vision"
_WRITERS = "deployments.captioning:Captioning"
CAPTIONER = ModelKind(_WRITERS, ("caption",))
SEGMENTER = ModelKind(_VISION, ("segment",))
IMAGE_ANSWERER = ModelKind(_WRITERS, ("visual_question",))
IMAGE_WRITER = ModelKind(_WRITERS, ("caption", "visual_question"))
IMAGE_GENERATOR = ModelKind("deployments.image_generation:ImageGeneration", ("image_generate",))
TRANSCRIBER = ModelKind("deployments.transcription:Transcription", ("transcribe",))

BY_SUFFIX = {
    "ForTokenClassification": TAGGER,
    "ForQuestionAnswering": READER,
    "ForMaskedLM": MASK_FILLER,
    "ForImageClassification": ModelKind(_VISION, ("image_classify",)),
    "ForObjectDetection": ModelKind(_VISION, ("detect",)),
    "ForSemanticSegmentation": SEGMENTER,
    "ForCausalLM": GENERATOR,
    "LMHeadModel": GENERATOR,
}
"""By the end of the class's name, which says what kind of head the model has."""

BY_NAME = {
    "CLIPModel": ModelKind(_VISION, ("image_zero_shot",)),
    "SiglipModel": ModelKind(_VISION, ("image_zero_shot",)),
    "Siglip2Model": ModelKind(_VISION, ("image_zero_shot",)),
    "DetrForSegmentation": SEGMENTER,
    "MaskFormerForInstanceSegmentation": SEGMENTER,
    "Mask2FormerForUniversalSegmentation": SEGMENTER,
    "ViltForQuestionAnswering": ModelKind(_VISION, ("visual_question",)),
    "BlipForQuestionAnswering": IMAGE_ANSWERER,
    "VisionEncoderDecoderModel": CAPTIONER,
    "BlipForConditionalGeneration": CAPTIONER,
    "MarianMTModel": TRANSLATOR,
    "WhisperForConditionalGeneration": TRANSCRIBER,
}

KINDS = frozenset(
    {
        GENERATOR,
        VISION_LANGUAGE,
        EMBEDDER,
        RERANKER,
        SUMMARIZER,
        TRANSLATOR,
        REWRITER,
        T5,
        ZERO_SHOT,
        SENTIMENT,
        TOPIC,
        ANY_LABELS,
        CAPTIONER,
        IMAGE_ANSWERER,
        IMAGE_WRITER,
        IMAGE_GENERATOR,
        *BY_SUFFIX.values(),
        *BY_NAME.values(),
    }
)
"""All that a model may be found to be."""

T5_CLASSES = ("T5", "MT5", "UMT5", "LongT5")
"""Beginnings of the names of classes whose models are told in words what to do."""

SEQ2SEQ_TAGS = {
    "summarization": SUMMARIZER,
    "translation": TRANSLATOR,
    "text2text-generation": REWRITER,
}
"""By the ``pipeline_tag`` of a model card."""

TEXT_ENCODERS = frozenset(
    {
        "albert",
        "bert",
        "camembert",
        "deberta",
        "deberta-v2",
        "distilbert",
        "electra",
        "modernbert",
        "mpnet",
        "roberta",
        "xlm-roberta",
    }
)
"""Types of models whose vectors, averaged over the tokens, stand for a text."""

SENTIMENT_WORDS = frozenset(
    {"positive", "negative", "neutral", "pos", "neg", "happy", "glad", "sad", "joy", "anger"}
)

HEADS_WITHOUT_FAMILY = {
    "ForMultipleChoice": "which chooses between endings",
    "ForPreTraining": "which is a checkpoint of pre-training",
    "ForCTC": "which transcribes speech",
    "ForAudioClassification": "which labels sounds",
    "ForSpeechSeq2Seq": "which transcribes speech",
    "ForInstanceSegmentation": "which segments images in a way of its own",
    "ForUniversalSegmentation": "which segments images in a way of its own",
}
"""What a model does that no family serves, by the end of its class's name."""


def kinds_of_encoder(config: Mapping[str, Any], pipeline_tag: str) -> list[ModelKind]:
    """Of a ``…ForSequenceClassification``, by its labels."""
    labels = labels_of(config)
    if "sentence_transformers" in config or pipeline_tag == "text-ranking" or len(labels) == 1:
        return [RERANKER]
    if any(label.startswith("entail") for label in labels):
        return [ZERO_SHOT, ANY_LABELS, SENTIMENT, TOPIC]
    mood = SENTIMENT_WORDS.intersection(labels) or all(
        each.endswith(("star", "stars")) for each in labels
    )
    return [SENTIMENT if mood else ANY_LABELS, ANY_LABELS, TOPIC, SENTIMENT]


def labels_of(config: Mapping[str, Any]) -> tuple[str, ...]:
    """The labels in small letters; two without names if the configuration has none."""
    named = config.get("id2label")
    if isinstance(named, Mapping) and named:
        return tuple(str(label).lower() for label in named.values())
    count = config.get("num_labels")
    number = count if isinstance(count, int) and 0 < count < 100_000 else 2
    return tuple(f"label_{index}" for index in range(number))


def kinds_of(
    name: str, config: Mapping[str, Any], pipeline_tag: str = "", *, has_template: bool = False
) -> list[ModelKind]:
    """What a model of the class ``name`` may do, the most likely first; empty if nothing here.

    ``has_template``: its processor has a chat template.
    """
    if name.endswith("ForSequenceClassification"):
        return kinds_of_encoder(config, pipeline_tag)
    if kind := BY_NAME.get(name) or _by_suffix(name):
        return [kind]
    if name.endswith("ForConditionalGeneration"):
        chats = [VISION_LANGUAGE] if has_template and "vision_config" in config else []
        return [*chats, *_kinds_of_writer(name, config, pipeline_tag)]
    if name.endswith("Model") and config.get("model_type") in TEXT_ENCODERS:
        return [EMBEDDER]
    return []


def _by_suffix(name: str) -> ModelKind | None:
    return next((kind for end, kind in BY_SUFFIX.items() if name.endswith(end)), None)


def _kinds_of_writer(name: str, config: Mapping[str, Any], pipeline_tag: str) -> list[ModelKind]:
    if "vision_config" in config:
        return [IMAGE_WRITER, CAPTIONER, IMAGE_ANSWERER]
    hears = any(key in config for key in ("audio_config", "num_mel_bins", "input_feat_per_channel"))
    if hears:
        return []
    first = [T5] if name.startswith(T5_CLASSES) else []
    if pipeline_tag in SEQ2SEQ_TAGS:
        first.append(SEQ2SEQ_TAGS[pipeline_tag])
    elif name.startswith("M2M100"):  # NLLB, too
        first.append(TRANSLATOR)
    return [*first, SUMMARIZER, TRANSLATOR, REWRITER]


def without_family(names: Sequence[str]) -> str:
    """Half a sentence about a model of the classes ``names`` that no family serves."""
    told: Iterable[str] = (
        f"it is a {name[:100]}, {what}"
        for name in names
        for end, what in HEADS_WITHOUT_FAMILY.items()
        if name.endswith(end)
    )
    return next(iter(told), f"it is a {names[0][:100]}") + "; no family here serves that"
