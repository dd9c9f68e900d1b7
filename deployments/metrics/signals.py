"""The table of all metrics: name, kind, help text and labels.

The ledger makes Prometheus metrics of it, and each replica the metrics for Ray's dashboard.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from deployments.metrics.report import MetricSample

PREFIX = "prsm_huggingface_"
UNKNOWN = "unknown"
SEVERAL = "several"
"""The value of ``model_name`` for a request that several models answered."""

MetricKind: TypeAlias = Literal["counter", "histogram", "sum", "mean"]
"""``sum`` and ``mean`` are gauges, named for how the values of replicas are combined."""

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
POWERS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768, 65536)
BYTES = tuple(16 * 4**power for power in range(12))
FRACTIONS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


@dataclass(frozen=True, slots=True)
class Signal:
    """One metric. ``name`` has no prefix, and not the ``_total`` of a counter.

    Only signals that are ``in_ray`` are metrics of Ray, too: those that are recorded once a token
    would take too much of the event loop's time.
    """

    name: str
    kind: MetricKind
    about: str
    labels: tuple[str, ...]
    buckets: tuple[float, ...] = SECONDS
    in_ray: bool = True

    def of(self, *values: str, amount: float = 1.0) -> MetricSample:
        """A sample of this signal; ``values`` are the values of its labels, in order."""
        return MetricSample(self.name, values, (amount,))


_MODEL, _TASK, _BOTH = ("model_name",), ("task",), ("model_name", "task")
_GPU = ("node", "gpu")
_KEY = ("key",)

REQUESTS = Signal(
    "requests", "counter", "Requests for inference, by how they ended.", (*_BOTH, "status")
)
REJECTIONS = Signal(
    "rejections", "counter", "Requests answered by an error, by its type.", (*_TASK, "reason")
)
CANCELLED = Signal(
    "cancelled", "counter", "Requests whose client left before the end; errors too.", _BOTH
)
DURATION = Signal(
    "inference_duration_seconds",
    "histogram",
    "From a request's first call of a model to its last answer; answered requests only.",
    _BOTH,
)
FIRST_TOKEN = Signal(
    "time_to_first_token_seconds",
    "histogram",
    "From a streamed request's arrival to its first token.",
    _BOTH,
)
PER_TOKEN = Signal(
    "time_per_output_token_seconds",
    "histogram",
    "A stream's time a token, behind the first.",
    _BOTH,
)
BETWEEN_TOKENS = Signal(
    "inter_token_latency_seconds",
    "histogram",
    "From one chunk of a stream to the next, divided by the next one's tokens.",
    _BOTH,
    in_ray=False,
)
FINISHED = Signal(
    "finished_sequences",
    "counter",
    "Generated texts, by why they ended: stop, length or cancelled.",
    (*_BOTH, "finish_reason"),
)
INPUT_BYTES = Signal("input_length_bytes", "histogram", "Bytes of a request's body.", _TASK, BYTES)
OUTPUT_BYTES = Signal("output_length_bytes", "histogram", "Bytes of an answer.", _TASK, BYTES)
INPUT_TOKENS = Signal(
    "input_length_tokens", "histogram", "Tokens that a request's models read.", _BOTH, POWERS
)
OUTPUT_TOKENS = Signal(
    "output_length_tokens", "histogram", "Tokens that a request's models wrote.", _BOTH, POWERS
)
TOKENS_IN = Signal("tokens_in", "counter", "Tokens that models read.", _BOTH)
TOKENS_OUT = Signal("tokens_out", "counter", "Tokens that models wrote.", _BOTH)

HTTP_RESPONSES = Signal(
    "http_responses",
    "counter",
    "Answers that began, of every route, by the class of their status.",
    ("route", "status"),
)
KEY_REQUESTS = Signal(
    "key_requests",
    "counter",
    "Requests for inference by API key, by how they ended.",
    ("key", "status"),
)
KEY_TOKENS_IN = Signal("key_tokens_in", "counter", "Tokens that models read for an API key.", _KEY)
KEY_TOKENS_OUT = Signal(
    "key_tokens_out", "counter", "Tokens that models wrote for an API key.", _KEY
)
PREPROCESSING = Signal(
    "preprocessing_seconds",
    "histogram",
    "Tokenizing a prompt, or texts that came together; decoding and resizing an image.",
    _MODEL,
)
QUEUE_WAIT = Signal(
    "queue_wait_seconds", "histogram", "From admission to a batch or a slot.", _MODEL
)
BATCH_SIZE = Signal("batch_size", "histogram", "Items of one forward.", _MODEL, POWERS)
BATCH_FILL = Signal(
    "batch_fill_ratio", "histogram", "How near one forward was to its bounds.", _MODEL, FRACTIONS
)
BATCH_PADDING = Signal(
    "batch_padding_ratio",
    "histogram",
    "The part of one forward that is padding.",
    _MODEL,
    FRACTIONS,
)
FORWARD = Signal("forward_seconds", "histogram", "What one forward of a batch took.", _MODEL)
CACHE_HITS = Signal(
    "cache_hits", "counter", "Requests that found their model in a replica's memory.", _MODEL
)
CACHE_MISSES = Signal(
    "cache_misses", "counter", "Requests that waited for their model to load.", _MODEL
)
LOADS = Signal("model_loads", "counter", "Models loaded into a replica's memory.", _MODEL)
LOAD_FAILURES = Signal("model_load_failures", "counter", "Loads that failed.", _MODEL)
UNLOADS = Signal("model_unloads", "counter", "Models taken out of a replica's memory.", _MODEL)
LOST = Signal("lost_samples", "counter", "Samples dropped while the ledger was away.", ())

MEMORY = Signal("model_memory_bytes", "sum", "Memory of a model, on all replicas.", _MODEL)
SLOTS = Signal("slots", "sum", "Texts that can be decoded together.", _MODEL)
SLOTS_IN_USE = Signal("slots_in_use", "sum", "Texts that are being decoded.", _MODEL)
WAITING = Signal("queue_depth", "sum", "Texts that wait for a batch or a slot.", _MODEL)
KV_USAGE = Signal("kv_cache_usage_ratio", "mean", "Used part of the KV cache.", _MODEL)
PREFIX_QUERIES = Signal(
    "prefix_cache_queries", "counter", "Tokens of prompts looked up in the prefix cache.", _MODEL
)
PREFIX_HITS = Signal(
    "prefix_cache_hits", "counter", "Tokens of prompts found in the prefix cache.", _MODEL
)
REPLICAS_WANTED = Signal(
    "replicas_wanted", "sum", "Replicas that Serve wants of a deployment.", ("deployment",)
)
REPLICAS_RUNNING = Signal(
    "replicas_running", "sum", "Replicas of a deployment that take requests.", ("deployment",)
)
DEPLOYMENT_FAILED = Signal(
    "deployment_failed",
    "sum",
    "1 while Serve calls a deployment UNHEALTHY or DEPLOY_FAILED, else 0.",
    ("deployment",),
)
MODELS_FAILED = Signal(
    "model_failed", "sum", "Replicas in which a model could not be loaded, so far.", _MODEL
)
GPU_ALLOCATED = Signal(
    "gpu_allocated_bytes", "sum", "Memory in tensors of a family, on all GPUs.", ("family",)
)
GPU_RESERVED = Signal(
    "gpu_reserved_bytes", "sum", "Memory that torch keeps for a family, on all GPUs.", ("family",)
)
GPU_USED = Signal("gpu_used_bytes", "mean", "Memory in use on one GPU, by all processes.", _GPU)
GPU_SIZE = Signal("gpu_size_bytes", "mean", "Memory of one GPU.", _GPU)
GPU_UTILIZATION = Signal(
    "gpu_utilization_ratio", "mean", "The part of the last second in which a GPU computed.", _GPU
)
BUILD_INFO = Signal(
    "build_info",
    "mean",
    "Always 1; its labels are the versions of what runs.",
    ("version", "ray", "transformers", "torch", "python"),
)
BINDING_LIMIT = Signal(
    "binding_limit",
    "sum",
    "Replicas of a family that would be faster but for this limit.",
    ("family", "limit"),
)
LIMITS_REFUSED = Signal(
    "live_limits_refused",
    "sum",
    "Replicas that keep their limits, because their last user_config is wrong.",
    ("family",),
)

SIGNALS = (
    REQUESTS,
    REJECTIONS,
    CANCELLED,
    DURATION,
    FIRST_TOKEN,
    PER_TOKEN,
    BETWEEN_TOKENS,
    FINISHED,
    INPUT_BYTES,
    OUTPUT_BYTES,
    INPUT_TOKENS,
    OUTPUT_TOKENS,
    TOKENS_IN,
    TOKENS_OUT,
    HTTP_RESPONSES,
    KEY_REQUESTS,
    KEY_TOKENS_IN,
    KEY_TOKENS_OUT,
    PREPROCESSING,
    QUEUE_WAIT,
    BATCH_SIZE,
    BATCH_FILL,
    BATCH_PADDING,
    FORWARD,
    CACHE_HITS,
    CACHE_MISSES,
    LOADS,
    LOAD_FAILURES,
    UNLOADS,
    LOST,
    PREFIX_QUERIES,
    PREFIX_HITS,
    MEMORY,
    SLOTS,
    SLOTS_IN_USE,
    WAITING,
    KV_USAGE,
    REPLICAS_WANTED,
    REPLICAS_RUNNING,
    DEPLOYMENT_FAILED,
    MODELS_FAILED,
    GPU_ALLOCATED,
    GPU_RESERVED,
    GPU_USED,
    GPU_SIZE,
    GPU_UTILIZATION,
    BUILD_INFO,
    BINDING_LIMIT,
    LIMITS_REFUSED,
)
BY_NAME = {signal.name: signal for signal in SIGNALS}
GAUGES = tuple(signal for signal in SIGNALS if signal.kind in ("sum", "mean"))
