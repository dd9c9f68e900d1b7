"""The dashboard for capacity: what is used of what there is, and what grows or fails."""

from __future__ import annotations

from deployments.metrics import signals
from serve_app.observability import promql
from serve_app.observability.common_panels import (
    model_memory,
    queue_depth,
    queue_wait,
    replicas,
)
from serve_app.observability.panels import DashboardPage, Panel, Query

SLOTS = promql.value(signals.SLOTS, "model_name")

PANELS = (
    replicas(),
    Panel(
        "Why it is not faster",
        "Replicas of each family for which a limit binds; docs/scaling.md says what to turn.",
        (Query(promql.value(signals.BINDING_LIMIT, "family, limit"), "{{family}}: {{limit}}"),),
        stacked=True,
    ),
    Panel(
        "Slots in use",
        "Of text generators: texts that are decoded, as a part of all slots.",
        (Query(f"{promql.value(signals.SLOTS_IN_USE, 'model_name')} / {SLOTS}", "{{model_name}}"),),
        "percentunit",
    ),
    Panel(
        "KV cache",
        "Used part, the mean of the replicas.",
        (Query(promql.value(signals.KV_USAGE, "model_name"), "{{model_name}}"),),
        "percentunit",
    ),
    Panel(
        "How full batches are",
        "How near one forward was to the nearest of its limits, on average.",
        (Query(promql.mean(signals.BATCH_FILL, "model_name"), "{{model_name}}"),),
        "percentunit",
    ),
    queue_depth(),
    queue_wait(),
    model_memory(),
    Panel(
        "Requests that found their model in memory",
        "And those that waited for it to load.",
        (
            Query(promql.per_second(signals.CACHE_HITS, "model_name"), "{{model_name}} found"),
            Query(promql.per_second(signals.CACHE_MISSES, "model_name"), "{{model_name}} waited"),
        ),
        "reqps",
    ),
    Panel(
        "Loads and unloads",
        "Models that come into memory, leave it, or fail to load, in five minutes.",
        tuple(
            Query(
                f"sum by (model_name) (increase({promql.name(signal)}[5m]))",
                f"{{{{model_name}}}} {what}",
            )
            for signal, what in (
                (signals.LOADS, "loaded"),
                (signals.UNLOADS, "unloaded"),
                (signals.LOAD_FAILURES, "failed"),
            )
        ),
    ),
    Panel(
        "GPU memory",
        "In use on each GPU by all processes, and kept by torch for each family.",
        (
            Query(promql.value(signals.GPU_USED, "node, gpu"), "{{gpu}} in use"),
            Query(promql.value(signals.GPU_SIZE, "node, gpu"), "{{gpu}} in all"),
            Query(promql.value(signals.GPU_RESERVED, "family"), "{{family}} reserved"),
            Query(promql.value(signals.GPU_ALLOCATED, "family"), "{{family}} allocated"),
        ),
        "bytes",
    ),
    Panel(
        "GPU use",
        "The part of the last second in which a GPU computed.",
        (Query(promql.value(signals.GPU_UTILIZATION, "node, gpu"), "{{gpu}}"),),
        "percentunit",
    ),
    Panel(
        "Limits and samples that were refused",
        "Replicas that keep their limits because their user_config is wrong; samples of metrics "
        "that were dropped while the ledger was away.",
        (
            Query(promql.value(signals.LIMITS_REFUSED, "family"), "{{family}} limits"),
            Query(f"sum(increase({promql.name(signals.LOST)}[5m]))", "samples"),
        ),
    ),
)

CAPACITY = DashboardPage(
    "prsm-capacity",
    "prsm-serve: capacity",
    "What is used of replicas, slots, KV cache, batches and memory.",
    PANELS,
)
