"""The table of tasks that ``POST /models/{model_id}`` does."""

from __future__ import annotations

from serve_app.ingress.routes.huggingface.entities import EntityBody, token_classification
from serve_app.ingress.routes.huggingface.generation import HubGenerateBody, text_generation
from serve_app.ingress.routes.huggingface.hub_tasks import HubTask
from serve_app.ingress.routes.huggingface.images import (
    DetectionBody,
    HubQuestionBody,
    ImageClassificationBody,
    ImageLabelsBody,
    ImageToTextBody,
    image_classification,
    image_to_text,
    object_detection,
    visual_question_answering,
    zero_shot_image_classification,
)
from serve_app.ingress.routes.huggingface.labels import (
    ClassificationBody,
    ZeroShotBody,
    text_classification,
    zero_shot_classification,
)
from serve_app.ingress.routes.huggingface.summaries import MARKS, SummaryBody, summarization
from serve_app.ingress.routes.huggingface.vectors import (
    FeatureBody,
    HubSimilarityBody,
    feature_extraction,
    sentence_similarity,
)

KINDS = (
    HubTask("text-generation", "generate", HubGenerateBody, text_generation),
    HubTask("summarization", "summarize", SummaryBody, summarization, MARKS),
    HubTask("feature-extraction", "embed", FeatureBody, feature_extraction),
    HubTask(
        "sentence-similarity",
        "embed",
        HubSimilarityBody,
        sentence_similarity,
        frozenset({"source_sentence", "sentences"}),
    ),
    HubTask("text-classification", "sentiment", ClassificationBody, text_classification),
    HubTask("text-classification", "topic", ClassificationBody, text_classification),
    HubTask(
        "zero-shot-classification",
        "zero_shot",
        ZeroShotBody,
        zero_shot_classification,
        frozenset({"candidate_labels"}),
    ),
    HubTask("token-classification", "entities", EntityBody, token_classification),
    HubTask(
        "image-classification",
        "image_classify",
        ImageClassificationBody,
        image_classification,
        from_file=ImageClassificationBody.of,
    ),
    HubTask(
        "zero-shot-image-classification",
        "image_zero_shot",
        ImageLabelsBody,
        zero_shot_image_classification,
        frozenset({"candidate_labels"}),
    ),
    HubTask(
        "object-detection",
        "detect",
        DetectionBody,
        object_detection,
        from_file=DetectionBody.of,
    ),
    HubTask(
        "image-to-text",
        "caption",
        ImageToTextBody,
        image_to_text,
        from_file=ImageToTextBody.of,
    ),
    HubTask(
        "visual-question-answering",
        "visual_question",
        HubQuestionBody,
        visual_question_answering,
        frozenset({"question"}),
    ),
)
"""Of a model that does several, the first is meant where the body does not tell."""
