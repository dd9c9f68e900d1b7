"""What every family of encoders shares: texts to tokens, tokens to the lane, answers in order."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from configs.profile import ModelSpec
from deployments.base import claim_device, load_options
from deployments.lane import Lane
from deployments.lane_family import UNANSWERED, LaneFamily
from deployments.memory import own_weights
from deployments.seam import Problem
from deployments.texts import Pairs, TokenizedText, tokenize, tokenize_pairs

R = TypeVar("R")

HEADS = ("classifier", "score", "classification_head")
"""What transformers calls the layers above the encoder. It would quantise them, although they are
small, decide the answer, and have fewer rows than some of bitsandbytes' kernels take."""


@dataclass(slots=True)
class Encoder(Generic[R]):
    """One loaded model: its tokenizer, its limit in tokens a text, and the lane to it."""

    tokenizer: Any
    max_tokens: int
    lane: Lane[TokenizedText, R]

    def close(self) -> None:
        self.lane.close()


class EncoderFamily(LaneFamily[Encoder[R]], Generic[R]):
    """A deployment of encoders. A family says how a model is loaded and what an answer is."""

    @abstractmethod
    def load(self, folder: Path, spec: ModelSpec) -> tuple[Any, int, Any]:
        """The tokenizer, the limit in tokens a text, and the function that answers a batch."""

    async def _answers(
        self,
        encoder: Encoder[R],
        texts: Sequence[str],
        *,
        truncate: bool,
        batch_size: int | None = None,
    ) -> tuple[list[R | Problem], tuple[int, ...]]:
        """One answer or problem a text, in order, and the tokens that each text has.

        At most ``batch_size`` texts of this request are in one forward.
        """
        tokenizer, limit = encoder.tokenizer, encoder.max_tokens
        tokenized = await self._in_thread(tokenize, tokenizer, texts, limit, truncate=truncate)
        return await self._forwarded(encoder, tokenized, batch_size), _counts(tokenized)

    async def _pair_answers(
        self, encoder: Encoder[R], pairs: Pairs, *, truncate: bool
    ) -> tuple[list[R | Problem], tuple[int, ...]]:
        """The same for pairs of texts that the model reads together."""
        tokenizer, limit = encoder.tokenizer, encoder.max_tokens
        tokenized = await self._in_thread(
            tokenize_pairs, tokenizer, pairs, limit, truncate=truncate
        )
        return await self._forwarded(encoder, tokenized), _counts(tokenized)

    async def _forwarded(
        self,
        encoder: Encoder[R],
        tokenized: Sequence[TokenizedText | Problem],
        batch_size: int | None = None,
    ) -> list[R | Problem]:
        """One answer a tokenized text, in order; problems stay where they are."""
        answers: list[R | Problem] = [
            text if isinstance(text, Problem) else UNANSWERED for text in tokenized
        ]
        good = [i for i, text in enumerate(tokenized) if isinstance(text, TokenizedText)]
        step = batch_size or max(1, len(good))
        for start in range(0, len(good), step):
            chosen = good[start : start + step]
            through = await self._through(encoder.lane, [tokenized[i] for i in chosen])
            for i, answer in zip(chosen, through, strict=True):
                answers[i] = answer
        return answers

    def _opened(
        self, auto_class: str, folder: Path, spec: ModelSpec, unquantised: Sequence[str] = ()
    ) -> tuple[Any, Any, str]:
        """Tokenizer, model ready to answer, and its device, by a class of transformers."""
        import transformers

        device = claim_device(self._config)
        options = load_options(self._config, spec, device, unquantised)
        tokenizer = transformers.AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=options["trust_remote_code"]
        )
        model = getattr(transformers, auto_class).from_pretrained(folder, **options)
        model = model.to(device).eval()
        own_weights(model)
        return tokenizer, model, device

    def _load(self, spec: ModelSpec) -> Encoder[R]:
        tokenizer, max_tokens, run = self.load(self._config.folder(spec), spec)
        lane: Lane[TokenizedText, R] = self._lane(spec.name, run, len)
        return Encoder(tokenizer, spec.max_tokens or max_tokens, lane)


def _counts(tokenized: Sequence[TokenizedText | Problem]) -> tuple[int, ...]:
    return tuple(0 if isinstance(text, Problem) else len(text) for text in tokenized)
