"""The engines that run models, and what each of them cannot do."""

from __future__ import annotations

from typing import Literal, TypeAlias

EngineName: TypeAlias = Literal["torch", "openvino"]
EngineChoice: TypeAlias = Literal["auto", "torch", "openvino"]
"""``auto`` is the fastest engine that can run the model, timed once on each processor."""

ModelHead: TypeAlias = Literal["embedding", "sequence", "token", "masked", "span"]
"""The output of an encoder: a vector for each text, logits for each text or for each token, the
logits of the vocabulary at the mask token of each text, or for each token two logits: that a span
starts there, and that one ends there."""

HEADS: dict[str, ModelHead] = {
    "embed": "embedding",
    "sentiment": "sequence",
    "topic": "sequence",
    "zero_shot": "sequence",
    "rerank": "sequence",
    "entities": "token",
    "fill_mask": "masked",
    "question_answering": "span",
}
"""The head that each task of an encoder needs. OpenVINO can run models with one of these heads."""

GENERATION_TASKS = frozenset({"generate", "chat"})
"""The tasks of text generation, whose requests have fields that not every engine supports."""

IMAGE_GENERATION_TASK = "image_generate"
"""The task of text to image, whose models are pipelines of several networks."""

Dtype: TypeAlias = Literal["auto", "float32", "bfloat16", "float16", "dynamic-int8"]
"""The ``dtype`` of a profile: what a model computes in. ``dynamic-int8`` rounds the inputs of each
matrix product to 8 bits; only text generators on OpenVINO have it."""

GENERATION_DTYPES: dict[EngineName, tuple[Dtype, ...]] = {
    "torch": ("auto", "float32", "bfloat16", "float16"),
    "openvino": ("auto", "float32", "bfloat16", "dynamic-int8"),
}
"""What text generators can compute in, by their engine."""

DEFAULT_KV_CACHE_GB = 1.0
"""KV cache of a text generator, in GiB, unless the profile says otherwise. The torch engine takes
more if a full window needs it."""

ToolCalls: TypeAlias = Literal["hermes"]
"""The format in which a model writes tool calls, which also selects the parser."""

CONSTRAINED = frozenset({"response_format", "regex"})
"""The request fields of constrained decoding, to JSON and to a regular expression."""

UNSUPPORTED: dict[EngineName, frozenset[str]] = {
    "torch": frozenset(),
    # OpenVINO GenAI 2026.4 has no logit bias, no typical sampling, and logprobs of the sampled
    # token only, neither of a prompt's tokens nor of others, which decisions need. Its frequency
    # and presence penalties move a logit towards zero, and so raise negative ones.
    "openvino": CONSTRAINED
    | {"logit_bias", "top_logprobs", "prompt_logprobs", "decisions"}
    | {"frequency_penalty", "presence_penalty", "typical_p"},
}
"""Request fields that an engine does not support. A request with one gets a 400 that names a model
that supports it."""
