"""The dashboards of models that answer in batches: text encoders, and images and the others."""

from __future__ import annotations

from deployments.metrics import signals
from deployments.metrics.signals import Signal
from serve_app.observability import promql
from serve_app.observability.common_panels import (
    MODEL,
    quantiles,
    queue_depth,
    queue_wait,
    requests_by,
)
from serve_app.observability.panels import DashboardPage, Panel, Query, Unit, Variable

ENCODER_TASKS = (
    "embed",
    "rerank",
    "sentiment",
    "topic",
    "zero_shot",
    "fill_mask",
    "entities",
    "question_answering",
)
OTHER_TASKS = (
    "caption",
    "visual_question",
    "image_classify",
    "image_zero_shot",
    "detect",
    "segment",
    "transcribe",
    "summarize",
    "translate",
    "text2text",
    "image_generate",
)


def _models(tasks: tuple[str, ...]) -> Variable:
    """The models that have answered requests for ``tasks``."""
    requests = promql.selected(promql.name(signals.REQUESTS), f'task=~"{"|".join(tasks)}"')
    return Variable("model", "Model", f"label_values({requests}, model_name)")


def _mean(title: str, about: str, signal: Signal, unit: Unit) -> Panel:
    return Panel(
        title, about, (Query(promql.mean(signal, "model_name", MODEL), "{{model_name}}"),), unit
    )


def _panels() -> tuple[Panel, ...]:
    return (
        requests_by("model_name, status", "{{model_name}} {{status}}", MODEL),
        Panel(
            "Items",
            "Texts, pairs, images or windows that models answered.",
            (
                Query(
                    promql.sum_per_second(signals.BATCH_SIZE, "model_name", MODEL), "{{model_name}}"
                ),
            ),
            "ops",
        ),
        quantiles(
            "Time of answered requests",
            "From the first call of the model to the last answer.",
            signals.DURATION,
            "model_name",
            MODEL,
        ),
        Panel(
            "Where the time goes",
            "Means of preparing inputs, waiting and one forward.",
            tuple(
                Query(promql.mean(signal, "model_name", MODEL), f"{{{{model_name}}}} {what}")
                for signal, what in (
                    (signals.PREPROCESSING, "preparing"),
                    (signals.QUEUE_WAIT, "waiting"),
                    (signals.FORWARD, "forward"),
                )
            ),
            "s",
            stacked=True,
        ),
        _mean("Items of a batch", "The mean size of a forward.", signals.BATCH_SIZE, "short"),
        _mean(
            "How full batches are",
            "How near one forward was to the nearest of its limits.",
            signals.BATCH_FILL,
            "percentunit",
        ),
        _mean(
            "Padding",
            "The part of one forward that is padding.",
            signals.BATCH_PADDING,
            "percentunit",
        ),
        quantiles("Forwards", "What one forward takes.", signals.FORWARD, "model_name", MODEL),
        queue_depth(MODEL),
        queue_wait(MODEL),
        Panel(
            "Tokens read",
            "Of texts and prompts.",
            (Query(promql.per_second(signals.TOKENS_IN, "model_name", MODEL), "{{model_name}}"),),
            "ops",
        ),
    )


ENCODERS = DashboardPage(
    "prsm-encoders",
    "prsm-serve: encoders",
    "Batches of models that read texts: embeddings, reranking, classification, entities.",
    _panels(),
    (_models(ENCODER_TASKS),),
)
OTHERS = DashboardPage(
    "prsm-images",
    "prsm-serve: images, speech, sequence to sequence",
    "Batches of models that read or make images, transcribe, or write one text for another.",
    _panels(),
    (_models(OTHER_TASKS),),
)
