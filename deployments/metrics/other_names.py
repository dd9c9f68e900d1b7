"""The names under which other servers' dashboards look for our signals: vLLM's, OpenTelemetry's.

Each is made of samples that one of our own signals has, with labels and buckets of its own. Where a
metric of theirs means something else than ours, it is left out, or docs/metrics.md says how it
differs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from configs.settings import MetricNames
from deployments.metrics import signals
from deployments.metrics.signals import Signal


@dataclass(frozen=True, slots=True)
class OtherName:
    """One metric of others. ``name`` has not the ``_total`` of a counter.

    ``labels`` maps each of its labels to the label of ``source`` that has its value; ``fixed`` are
    labels with one value. Values that ``renamed`` has are called otherwise there.
    """

    name: str
    source: Signal
    about: str
    labels: Mapping[str, str]
    fixed: Mapping[str, str]
    buckets: tuple[float, ...] = ()
    renamed: Mapping[str, str] = field(default_factory=dict)

    @property
    def label_names(self) -> tuple[str, ...]:
        return (*self.labels, *self.fixed)

    def label_values(self, values: tuple[str, ...]) -> tuple[str, ...]:
        """The values of its labels for a sample whose labels have ``values``."""
        given = dict(zip(self.source.labels, values, strict=True))
        theirs = (given[source] for source in self.labels.values())
        return (*(self.renamed.get(value, value) for value in theirs), *self.fixed.values())


FIRST_TOKEN_S = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5)
TOKEN_S = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5)
VLLM_FIRST_TOKEN_S = (*FIRST_TOKEN_S, 10, 20, 40, 80, 160, 640, 2560)
VLLM_TOKEN_S = (*TOKEN_S, 5, 7.5, 10, 20, 40, 80)
VLLM_REQUEST_S = (
    *(0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30),
    *(40, 50, 60, 120, 240, 480, 960, 1920, 7680),
)
VLLM_TOKENS = tuple(mantissa * 10**power for power in range(6) for mantissa in (1, 2, 5))
GEN_AI_REQUEST_S = tuple(0.01 * 2**power for power in range(14))
GEN_AI_FIRST_TOKEN_S = (*FIRST_TOKEN_S, 10)
GEN_AI_TOKENS = tuple(4**power for power in range(14))
"""The buckets of vLLM (``vllm/v1/metrics/loggers.py``, where those of tokens end at the longest
text of the model) and of OpenTelemetry's semantic conventions for generative AI, version 1.37."""

OPERATIONS = {"embed": "embeddings", "generate": "text_completion"}
"""OpenTelemetry's names of our tasks. ``chat`` is the same; the others are names of our own."""

PROVIDER = "huggingface"


def _vllm(
    name: str,
    source: Signal,
    about: str,
    buckets: tuple[float, ...] = (),
    labels: Mapping[str, str] | None = None,
) -> OtherName:
    """``engine`` numbers the engines of one server there. Ours are added up: it is always 0."""
    labels = {"model_name": "model_name", **(labels or {})}
    return OtherName(
        f"vllm:{name}", source, about, labels, {"engine": "0"}, buckets, {"cancelled": "abort"}
    )


def _gen_ai(
    name: str,
    source: Signal,
    about: str,
    buckets: tuple[float, ...],
    fixed: Mapping[str, str] | None = None,
) -> OtherName:
    labels = {"gen_ai_operation_name": "task", "gen_ai_request_model": "model_name"}
    fixed = {"gen_ai_provider_name": PROVIDER, **(fixed or {})}
    return OtherName(f"gen_ai_{name}", source, about, labels, fixed, buckets, OPERATIONS)


VLLM = (
    _vllm("num_requests_running", signals.SLOTS_IN_USE, "Texts that are being decoded."),
    _vllm("num_requests_waiting", signals.WAITING, "Texts that wait for a batch or a slot."),
    _vllm("kv_cache_usage_perc", signals.KV_USAGE, "Used part of the KV cache, from 0 to 1."),
    _vllm(
        "prefix_cache_queries",
        signals.PREFIX_QUERIES,
        "Tokens of prompts looked up in the prefix cache.",
    ),
    _vllm("prefix_cache_hits", signals.PREFIX_HITS, "Tokens of prompts found in the prefix cache."),
    _vllm("prompt_tokens", signals.TOKENS_IN, "Tokens that models read."),
    _vllm("generation_tokens", signals.TOKENS_OUT, "Tokens that models wrote."),
    _vllm(
        "request_success",
        signals.FINISHED,
        "Generated texts, by why they ended.",
        labels={"finished_reason": "finish_reason"},
    ),
    _vllm(
        "time_to_first_token_seconds",
        signals.FIRST_TOKEN,
        "From a streamed request's arrival to its first token.",
        VLLM_FIRST_TOKEN_S,
    ),
    _vllm(
        "inter_token_latency_seconds",
        signals.BETWEEN_TOKENS,
        "From one chunk of a stream to the next, divided by the next one's tokens.",
        VLLM_TOKEN_S,
    ),
    _vllm(
        "request_time_per_output_token_seconds",
        signals.PER_TOKEN,
        "A stream's time a token, behind the first.",
        VLLM_TOKEN_S,
    ),
    _vllm(
        "e2e_request_latency_seconds",
        signals.DURATION,
        "From a request's first call of a model to its last answer.",
        VLLM_REQUEST_S,
    ),
    _vllm(
        "request_queue_time_seconds",
        signals.QUEUE_WAIT,
        "From admission to a batch or a slot.",
        VLLM_REQUEST_S,
    ),
    _vllm(
        "request_prompt_tokens",
        signals.INPUT_TOKENS,
        "Tokens that a request's models read.",
        VLLM_TOKENS,
    ),
    _vllm(
        "request_generation_tokens",
        signals.OUTPUT_TOKENS,
        "Tokens that a request's models wrote.",
        VLLM_TOKENS,
    ),
)

GEN_AI = (
    _gen_ai(
        "server_request_duration_seconds",
        signals.DURATION,
        "From a request's first call of a model to its last answer.",
        GEN_AI_REQUEST_S,
    ),
    _gen_ai(
        "server_time_to_first_token_seconds",
        signals.FIRST_TOKEN,
        "From a streamed request's arrival to its first token.",
        GEN_AI_FIRST_TOKEN_S,
    ),
    _gen_ai(
        "server_time_per_output_token_seconds",
        signals.PER_TOKEN,
        "A stream's time a token, behind the first.",
        TOKEN_S,
    ),
    *(
        _gen_ai(
            "client_token_usage",
            source,
            "Tokens that a request's models read (input) and wrote (output).",
            GEN_AI_TOKENS,
            {"gen_ai_token_type": kind},
        )
        for kind, source in (("input", signals.INPUT_TOKENS), ("output", signals.OUTPUT_TOKENS))
    ),
)

OTHER_NAMES: Mapping[MetricNames, tuple[OtherName, ...]] = {"vllm": VLLM, "gen_ai": GEN_AI}


def chosen(names: Iterable[MetricNames]) -> tuple[OtherName, ...]:
    """Every metric of those who are named, each once."""
    return tuple(each for name in dict.fromkeys(names) for each in OTHER_NAMES[name])
