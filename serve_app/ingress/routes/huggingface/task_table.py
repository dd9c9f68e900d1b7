"""The table of tasks that ``POST /models/{model_id}`` does."""

from __future__ import annotations

from serve_app.ingress.routes.huggingface.entities import EntityBody, token_classification
from serve_app.ingress.routes.huggingface.generation import GenerateBody, text_generation
from serve_app.ingress.routes.huggingface.hub_tasks import Kind
from serve_app.ingress.routes.huggingface.images import (
    DetectionBody,
    ImageClassificationBody,
    ImageLabelsBody,
    ImageToTextBody,
    QuestionBody,
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
    SimilarityBody,
    feature_extraction,
    sentence_similarity,
)

KINDS = (
    Kind("text-generation", "generate", GenerateBody, text_generation),
    Kind("summarization", "summarize", SummaryBody, summarization, MARKS),
    Kind("feature-extraction", "embed", FeatureBody, feature_extraction),
    Kind(
        "sentence-similarity",
        "embed",
        SimilarityBody,
        sentence_similarity,
        frozenset({"source_sentence", "sentences"}),
    ),
    Kind("text-classification", "sentiment", ClassificationBody, text_classification),
    Kind("text-classification", "topic", ClassificationBody, text_classification),
    Kind(
        "zero-shot-classification",
        "zero_shot",
        ZeroShotBody,
        zero_shot_classification,
        frozenset({"candidate_labels"}),
    ),
    Kind("token-classification", "entities", EntityBody, token_classification),
    Kind(
        "image-classification",
        "image_classify",
        ImageClassificationBody,
        image_classification,
        from_file=ImageClassificationBody.of,
    ),
    Kind(
        "zero-shot-image-classification",
        "image_zero_shot",
        ImageLabelsBody,
        zero_shot_image_classification,
        frozenset({"candidate_labels"}),
    ),
    Kind(
        "object-detection",
        "detect",
        DetectionBody,
        object_detection,
        from_file=DetectionBody.of,
    ),
    Kind(
        "image-to-text",
        "caption",
        ImageToTextBody,
        image_to_text,
        from_file=ImageToTextBody.of,
    ),
    Kind(
        "visual-question-answering",
        "visual_question",
        QuestionBody,
        visual_question_answering,
        frozenset({"question"}),
    ),
)
"""Of a model that does several, the first is meant where the body does not tell."""
