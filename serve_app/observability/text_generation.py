"""The dashboard of text generators: streams, slots, the KV cache."""

from __future__ import annotations

from deployments.metrics import signals
from serve_app.observability import promql
from serve_app.observability.common_panels import (
    MODEL,
    quantiles,
    queue_depth,
    queue_wait,
    requests_by,
)
from serve_app.observability.panels import DashboardPage, Panel, Query, Variable

MODELS = Variable("model", "Model", f"label_values({promql.name(signals.SLOTS)}, model_name)")

PANELS = (
    requests_by("task, status", "{{task}} {{status}}", MODEL),
    Panel(
        "Tokens",
        "Of prompts and of new texts.",
        (
            Query(promql.per_second(signals.TOKENS_IN, "model_name", MODEL), "{{model_name}} read"),
            Query(
                promql.per_second(signals.TOKENS_OUT, "model_name", MODEL), "{{model_name}} written"
            ),
        ),
        "ops",
    ),
    quantiles(
        "Time to the first token",
        "Of streams, from the request's arrival at the ingress.",
        signals.FIRST_TOKEN,
        "model_name",
        MODEL,
    ),
    quantiles(
        "Time a token",
        "A stream's mean behind its first chunk.",
        signals.PER_TOKEN,
        "model_name",
        MODEL,
    ),
    quantiles(
        "Time between tokens",
        "From one chunk of a stream to the next, divided by the next one's tokens.",
        signals.BETWEEN_TOKENS,
        "model_name",
        MODEL,
    ),
    quantiles(
        "Time of answered requests",
        "From the first call of the model to the last answer.",
        signals.DURATION,
        "model_name",
        MODEL,
    ),
    Panel(
        "Slots",
        "Texts that are decoded together, and how many could be.",
        (
            Query(promql.value(signals.SLOTS_IN_USE, "model_name", MODEL), "{{model_name}} in use"),
            Query(promql.value(signals.SLOTS, "model_name", MODEL), "{{model_name}} in all"),
        ),
    ),
    Panel(
        "KV cache",
        "Used part, the mean of the replicas.",
        (Query(promql.value(signals.KV_USAGE, "model_name", MODEL), "{{model_name}}"),),
        "percentunit",
    ),
    Panel(
        "Prefix cache",
        "The part of prompts' tokens that needed no prefill; only the torch engine tells.",
        (
            Query(
                promql.part(signals.PREFIX_HITS, signals.PREFIX_QUERIES, "model_name", MODEL),
                "{{model_name}}",
            ),
        ),
        "percentunit",
    ),
    queue_depth(MODEL),
    queue_wait(MODEL),
    quantiles(
        "Preparing prompts",
        "Chat template, tokens, images and grammar.",
        signals.PREPROCESSING,
        "model_name",
        MODEL,
    ),
    Panel(
        "Why texts end",
        "stop: the model or a stop string; length: its bound; cancelled: the client left.",
        (
            Query(
                promql.per_second(signals.FINISHED, "model_name, finish_reason", MODEL),
                "{{model_name}} {{finish_reason}}",
            ),
        ),
        "ops",
        stacked=True,
    ),
    Panel(
        "Length of prompts and texts",
        "Tokens of one request, the median and what 5 % exceed.",
        tuple(
            Query(promql.quantile(share, signal, "model_name", MODEL), f"{{{{model_name}}}} {what}")
            for signal, of in ((signals.INPUT_TOKENS, "prompt"), (signals.OUTPUT_TOKENS, "text"))
            for share, what in ((0.5, f"{of} p50"), (0.95, f"{of} p95"))
        ),
    ),
)

TEXT_GENERATION = DashboardPage(
    "prsm-text-generation",
    "prsm-serve: text generation",
    "Streams, slots and the KV cache of models that write token by token.",
    PANELS,
    (MODELS,),
)
