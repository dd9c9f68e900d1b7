"""Metrics under others' names have the samples of our own, with the buckets that others expect."""

from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families

from configs.settings import MetricNames
from deployments.metrics import signals
from deployments.metrics.ledger import Ledger, LedgerConfig
from deployments.metrics.other_names import GEN_AI, OTHER_NAMES, VLLM
from deployments.metrics.report import MetricReport, MetricSample
from tests.deployments.metrics.reading import Figures, figures

VLLM_DASHBOARD = {
    "vllm:e2e_request_latency_seconds_bucket",
    "vllm:e2e_request_latency_seconds_count",
    "vllm:e2e_request_latency_seconds_sum",
    "vllm:generation_tokens_total",
    "vllm:inter_token_latency_seconds_bucket",
    "vllm:inter_token_latency_seconds_count",
    "vllm:inter_token_latency_seconds_sum",
    "vllm:kv_cache_usage_perc",
    "vllm:num_requests_running",
    "vllm:num_requests_waiting",
    "vllm:prompt_tokens_total",
    "vllm:request_generation_tokens_bucket",
    "vllm:request_prompt_tokens_bucket",
    "vllm:request_queue_time_seconds_sum",
    "vllm:request_success_total",
    "vllm:time_to_first_token_seconds_bucket",
    "vllm:time_to_first_token_seconds_count",
    "vllm:time_to_first_token_seconds_sum",
}
"""What vLLM's example (``examples/observability/prometheus_grafana/grafana.json``) asks for, but
for its panels of prefill and decode time and of ``max_tokens``, which are not measured here."""

GENERATED = ("one", "generate")


def config(*names: MetricNames) -> LedgerConfig:
    return LedgerConfig(frozenset({"one"}), frozenset({"generate", "embed"}), 0, names)


async def counted(ledger: Ledger) -> Figures:
    samples = (
        signals.DURATION.of(*GENERATED, amount=0.7),
        MetricSample("inter_token_latency_seconds", GENERATED, (0.02, 0.2, 0.02)),
        signals.FINISHED.of(*GENERATED, "cancelled", amount=2),
        signals.FINISHED.of(*GENERATED, "stop", amount=3),
        signals.FIRST_TOKEN.of(*GENERATED, amount=0.3),
        signals.PER_TOKEN.of(*GENERATED, amount=0.08),
        signals.INPUT_TOKENS.of(*GENERATED, amount=5),
        signals.OUTPUT_TOKENS.of(*GENERATED, amount=7),
        signals.TOKENS_IN.of(*GENERATED, amount=5),
        signals.TOKENS_OUT.of(*GENERATED, amount=7),
        signals.QUEUE_WAIT.of("one", amount=0.4),
    )
    gauges = (
        signals.SLOTS_IN_USE.of("one", amount=4),
        signals.WAITING.of("one", amount=6),
        signals.KV_USAGE.of("one", amount=0.25),
    )
    await ledger.add(MetricReport("a", 1, samples, gauges=gauges))
    return figures((await ledger.exposition("")).body.decode())


async def test_a_dashboard_of_vllm_finds_its_metrics() -> None:
    ledger = Ledger(config("vllm"))
    found = await counted(ledger)
    assert {key[0] for key in found} >= VLLM_DASHBOARD
    assert found["vllm:num_requests_running", "one"] == 4
    assert found["vllm:num_requests_waiting", "one"] == 6
    assert found["vllm:kv_cache_usage_perc", "one"] == 0.25
    assert found["vllm:prompt_tokens_total", "one"] == 5
    assert found["vllm:request_success_total", "one", "abort"] == 2
    assert found["vllm:request_success_total", "one", "stop"] == 3
    assert found["vllm:e2e_request_latency_seconds_bucket", "one", "0.5"] == 0
    assert found["vllm:e2e_request_latency_seconds_bucket", "one", "0.8"] == 1
    text = (await ledger.exposition("")).body.decode()
    theirs = [each for each in text_string_to_metric_families(text) if "vllm:" in each.name]
    assert all(sample.labels["engine"] == "0" for each in theirs for sample in each.samples)


@pytest.mark.parametrize(
    "accept",
    [
        "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;"
        "q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
        "application/openmetrics-text;version=1.0.0;escaping=underscores,text/plain;q=0.5",
        "text/plain;version=1.0.0;escaping=underscores",
        "text/plain;version=0.0.4",
    ],
    ids=["Prometheus 2", "Prometheus 3", "text 1.0", "text 0.0.4"],
)
async def test_names_keep_their_colon_in_every_format(accept: str) -> None:
    ledger = Ledger(config("vllm"))
    await counted(ledger)
    exposition = await ledger.exposition(accept)
    assert "openmetrics" in exposition.content_type or accept.startswith("text/plain")
    lines = exposition.body.decode().splitlines()
    assert 'vllm:prompt_tokens_total{engine="0",model_name="one"} 5.0' in lines
    assert not [line for line in lines if line.startswith("vllm_")]


async def test_metrics_for_generative_ai_have_their_attributes_and_buckets() -> None:
    found = await counted(Ledger(config("gen_ai")))
    operation = ("text_completion", "one")
    usage = "gen_ai_client_token_usage"
    assert found[f"{usage}_sum", *operation, "input"] == 5
    assert found[f"{usage}_sum", *operation, "output"] == 7
    assert found[f"{usage}_bucket", *operation, "input", "4.0"] == 0
    assert found[f"{usage}_bucket", *operation, "input", "16.0"] == 1
    assert found["gen_ai_server_request_duration_seconds_bucket", *operation, "0.64"] == 0
    assert found["gen_ai_server_request_duration_seconds_bucket", *operation, "1.28"] == 1
    assert found["gen_ai_server_time_to_first_token_seconds_sum", *operation] == 0.3
    assert found["gen_ai_server_time_per_output_token_seconds_sum", *operation] == 0.08
    ends = [max(each.buckets) for each in GEN_AI]
    assert ends == [81.92, 10, 2.5, 67108864, 67108864]


@pytest.mark.parametrize("name", OTHER_NAMES)
async def test_only_names_that_are_chosen_are_there(name: MetricNames) -> None:
    found = await counted(Ledger(config(name)))
    there = {other for other in OTHER_NAMES for key in found if key[0].startswith(other)}
    assert there == {name}
    own = {key[0] for key in await counted(Ledger(config())) if not key[0].endswith("_created")}
    assert own <= {key[0] for key in found}
    assert not [each for each in own if each.startswith(("vllm", "gen_ai"))]


def test_no_two_metrics_of_one_name_differ_in_their_labels() -> None:
    labels: dict[str, set[tuple[str, ...]]] = {}
    for other in (*VLLM, *GEN_AI):
        labels.setdefault(other.name, set()).add(other.label_names)
        assert set(other.labels.values()) <= set(other.source.labels)
    assert {name: each for name, each in labels.items() if len(each) > 1} == {}
