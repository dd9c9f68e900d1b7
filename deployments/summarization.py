"""Summarization: sequence-to-sequence models, texts in, summaries out, decoded greedily."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar

from configs.profile import ModelSpec
from deployments.base import FamilyConfig, ModelUnavailable, claim_device, load_options
from deployments.encoders import Encoder, EncoderFamily
from deployments.lane import Lane
from deployments.memory import own_weights
from deployments.network.padding import Padding
from deployments.parts import in_parts
from deployments.seam import Problem, Summarised, Summary, SummaryRequest
from deployments.texts import TokenizedText, token_limit, tokenize


@dataclass(frozen=True, slots=True)
class Passage(TokenizedText):
    """A text and how many tokens its summary may and must have."""

    most: int
    least: int


@dataclass(frozen=True, slots=True)
class Facts:
    """What a model wants before a text (T5's "summarize: "), and the most tokens it can write."""

    prefix: str
    most: int | None


class Summarization(EncoderFamily[Summary]):
    """The deployment of the summarization family."""

    tasks: ClassVar[dict[str, str]] = {"summarize": "writes what a text says, in short"}

    def __init__(self, config: FamilyConfig) -> None:
        self._facts: dict[str, Facts] = {}  # filled while the base loads what is pinned
        super().__init__(config)

    async def summarize(self, request: SummaryRequest) -> Summarised | Problem:
        """A summary of every text; a text that is too long fails alone."""
        try:
            async with self._residency.use(request.model) as encoder:
                most = self._facts[request.model].most
                if most is not None and request.max_new_tokens > most:
                    message = f"the model writes up to {most} tokens, not {request.max_new_tokens}"
                    return Problem("validation", message, "max_new_tokens")
                parts = (
                    partial(self._passages, encoder, replace(request, texts=texts))
                    for texts in in_parts(request.texts, len)
                )
                answers, _ = await self._read_and_answered(encoder, parts)
                return Summarised(tuple(answers))
        except ModelUnavailable as error:
            return error.problem

    def _load(self, spec: ModelSpec) -> Encoder[Summary]:
        tokenizer, model, device = self._opened(spec)
        # Checkpoints for summaries bring lengths and beams of their own; here a request decides.
        for name in ("max_length", "min_length", "num_beams", "early_stopping", "length_penalty"):
            setattr(model.generation_config, name, None)
        positions = getattr(model.config, "max_position_embeddings", None)
        self._facts[spec.name] = Facts(_prefix(model.config), positions)

        def run(batch: Sequence[Passage]) -> list[Summary | Problem]:
            return list(_summaries(model, tokenizer, batch, device))

        lane: Lane[TokenizedText, Summary] = self._lane(spec.name, run, len, _bounds)
        return Encoder(tokenizer, spec.max_tokens or token_limit(tokenizer, model), lane)

    def _opened(self, spec: ModelSpec) -> tuple[Any, Any, str]:
        """Tokenizer, model ready to write, and its device."""
        import transformers

        folder, device = self._config.folder(spec), claim_device(self._config)
        options = load_options(self._config, spec, device)
        tokenizer = transformers.AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=options["trust_remote_code"]
        )
        model = transformers.AutoModelForSeq2SeqLM.from_pretrained(folder, **options)
        model = model.to(device).eval()
        own_weights(model)
        return tokenizer, model, device

    def _passages(
        self, encoder: Encoder[Summary], request: SummaryRequest
    ) -> list[Passage | Problem]:
        prefix = self._facts[request.model].prefix
        texts = [prefix + text for text in request.texts]
        tokenized = tokenize(
            encoder.tokenizer, texts, encoder.max_tokens, truncate=request.truncate
        )
        bounds = (request.max_new_tokens, request.min_new_tokens)
        return [
            each if isinstance(each, Problem) else Passage(each.features, *bounds)
            for each in tokenized
        ]


def _bounds(passage: Passage) -> tuple[int, int]:
    """What passages must have in common to share a forward."""
    return passage.most, passage.least


def _summaries(model: Any, tokenizer: Any, batch: Sequence[Passage], device: str) -> list[Summary]:
    """Summaries of passages that have the same bounds."""
    import torch

    features = Padding.of(tokenizer)(batch)
    inputs = {
        name: torch.from_numpy(features[name]).to(device)
        for name in ("input_ids", "attention_mask")
    }
    with torch.inference_mode():
        written = model.generate(**inputs, generation_config=_greedy(model, batch[0]))
    made = []
    for passage, ids in zip(batch, written[:, 1:].tolist(), strict=True):  # behind the start token
        tokens = _until_the_end(ids, model.generation_config)
        text = tokenizer.decode(tokens, skip_special_tokens=True).strip()
        made.append(Summary(text, len(passage), len(tokens)))
    return made


def _greedy(model: Any, bounds: Passage) -> Any:
    """The model's own settings, with the request's bounds."""
    config = deepcopy(model.generation_config)
    config.update(do_sample=False, max_new_tokens=bounds.most, min_new_tokens=bounds.least)
    return config


def _until_the_end(ids: list[int], config: Any) -> list[int]:
    """A row without the padding behind its end of sequence, which counts as a token."""
    ends = config.eos_token_id
    known = set(ends if isinstance(ends, list) else [ends])
    last = next((index for index, token in enumerate(ids) if token in known), len(ids))
    return ids[: last + 1]


def _prefix(config: Any) -> str:
    """What the checkpoint's authors put before a text that is to be summarised."""
    settings = getattr(config, "task_specific_params", None) or {}
    return str((settings.get("summarization") or {}).get("prefix") or "")
