"""A toy family with weights, batches and the model cache: the perplexity of texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

from configs.profile import ModelSpec
from deployments.batching.batcher import Batcher
from deployments.batching.model_loader import BatchedModelLoader
from deployments.encoders.interface import EncoderInfo
from deployments.encoders.padding import Padding
from deployments.encoders.text_encoders import TextEncoder, batched
from deployments.encoders.tokenization import TokenizedText, token_limit
from deployments.metrics.meter import Meter
from deployments.models.config import FamilyConfig
from deployments.models.errors import unavailable_as_problem
from deployments.models.family import FamilyDeployment
from deployments.models.pretrained import load_model, load_tokenizer
from deployments.seam.problems import Problem
from deployments.seam.tokens import CountsPromptTokens


@dataclass(frozen=True, slots=True)
class PerplexityRequest:
    model: str
    texts: tuple[str, ...]
    truncate: bool = False


@dataclass(frozen=True, slots=True)
class PerplexityResult(CountsPromptTokens):
    """A perplexity or a problem for each text, in order, and how many tokens each text has."""

    items: tuple[float | Problem, ...]
    tokens: tuple[int, ...]


class Perplexity(FamilyDeployment[TextEncoder[float]]):
    """The deployment: how well a causal language model expects a text; 1 is best."""

    tasks: ClassVar[dict[str, str]] = {"perplexity": "says how well a model expects texts"}

    def __init__(self, config: FamilyConfig) -> None:
        meter = Meter(config.ledger)
        batcher = Batcher(config, meter)
        super().__init__(config, PerplexityLoader(config, batcher), batcher, meter)

    @unavailable_as_problem
    async def measure(self, request: PerplexityRequest) -> PerplexityResult | Problem:
        """The perplexity of every text."""
        async with self._models.use(request.model) as model:
            answers, tokens = await model.answer(request.texts, truncate=request.truncate)
        return PerplexityResult(tuple(answers), tokens)


class PerplexityLoader(BatchedModelLoader[TextEncoder[float]]):
    """Loads causal language models, each behind a lane that forms its batches."""

    def load(self, spec: ModelSpec) -> TextEncoder[float]:
        folder = self._config.folder(spec)
        tokenizer = load_tokenizer(folder, trust_remote_code=spec.trust_remote_code)
        model, device = load_model("AutoModelForCausalLM", folder, self._config, spec)
        run = partial(_perplexities, model, Padding.of(tokenizer), device)
        max_tokens = spec.max_tokens or token_limit(tokenizer, model)
        lane = self._batcher.lane(spec.name, batched(run))
        return TextEncoder(tokenizer, EncoderInfo(max_tokens), max_tokens, self._batcher, lane)


def _perplexities(
    model: Any, padding: Padding, device: str, batch: Sequence[TokenizedText]
) -> list[float | Problem]:
    """One forward. Each token but the first is expected from those before it."""
    import torch

    arrays = padding(batch)
    ids, mask = (torch.from_numpy(arrays[n]).to(device) for n in ("input_ids", "attention_mask"))
    with torch.inference_mode():
        logits = model(input_ids=ids, attention_mask=mask).logits.float()
    of_tokens = logits[:, :-1].log_softmax(-1).gather(-1, ids[:, 1:, None])[..., 0]
    scored_tokens = mask[:, 1:].sum(1)
    means = (of_tokens * mask[:, 1:]).sum(1) / scored_tokens.clamp(min=1)
    return [
        perplexity if count else Problem("validation", "the text has only one token")
        for perplexity, count in zip(
            means.neg().exp().tolist(), scored_tokens.tolist(), strict=True
        )
    ]
