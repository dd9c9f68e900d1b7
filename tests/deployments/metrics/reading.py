"""An exposition as Prometheus' own parser reads it."""

from __future__ import annotations

from typing import TypeAlias

from prometheus_client.parser import text_string_to_metric_families

from deployments.metrics.signals import PREFIX

LABELS = (
    *("key", "model_name", "task", "status", "reason", "finish_reason", "finished_reason"),
    *("gen_ai_operation_name", "gen_ai_request_model", "gen_ai_token_type", "le"),
)
Figures: TypeAlias = dict[tuple[str, ...], float]


def figures(text: str) -> Figures:
    """Every sample by its name, without the prefix, and its labels' values."""
    return {
        (
            sample.name.removeprefix(PREFIX),
            *(sample.labels[label] for label in LABELS if label in sample.labels),
        ): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
