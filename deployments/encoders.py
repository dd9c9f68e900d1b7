"""What every family of encoders shares: texts to tokens, tokens to the lane, answers in order."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncGenerator, Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar

from configs.profile import ModelSpec
from deployments.base import claim_device, load_options
from deployments.lane import Lane
from deployments.lane_family import LaneFamily
from deployments.memory import own_weights
from deployments.seam import Problem
from deployments.texts import Pairs, TokenizedText, tokenize, tokenize_pairs

R = TypeVar("R")

READ_TOGETHER = 64
WARM_UP_TEXTS, WARM_UP_TOKENS = 8, 32

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
        read = partial(
            tokenize, encoder.tokenizer, max_tokens=encoder.max_tokens, truncate=truncate
        )
        parts = [partial(read, part) for part in in_parts(texts)]
        return await self._read_and_answered(encoder, parts, batch_size)

    async def _pair_answers(
        self, encoder: Encoder[R], pairs: Pairs, *, truncate: bool
    ) -> tuple[list[R | Problem], tuple[int, ...]]:
        """The same for pairs of texts that the model reads together."""
        read = partial(
            tokenize_pairs, encoder.tokenizer, max_tokens=encoder.max_tokens, truncate=truncate
        )
        sides = zip(in_parts(pairs.firsts), in_parts(pairs.seconds), strict=True)
        parts = [partial(read, replace(pairs, firsts=a, seconds=b)) for a, b in sides]
        return await self._read_and_answered(encoder, parts)

    async def _read_and_answered(
        self,
        encoder: Encoder[R],
        parts: Sequence[Callable[[], Sequence[TokenizedText | Problem]]],
        batch_size: int | None = None,
    ) -> tuple[list[R | Problem], tuple[int, ...]]:
        """Answers and numbers of tokens. While one part is read, the model is at work on others."""
        counts: list[int] = []

        async def read() -> AsyncGenerator[Sequence[TokenizedText | Problem], None]:
            for part in parts:
                tokenized = await self._in_thread(part)
                counts.extend(0 if isinstance(text, Problem) else len(text) for text in tokenized)
                yield tokenized

        return await self._through(encoder.lane, read(), batch_size), tuple(counts)

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
        lane: Lane[TokenizedText, R] = self._lane(spec.name, run, len, self._kind)
        encoder = Encoder(tokenizer, spec.max_tokens or max_tokens, lane)
        lane.warm_up(self._first_batches(encoder))
        return encoder

    def _kind(self, text: TokenizedText) -> Hashable:
        """What texts must have in common to share a forward: nothing, as a rule."""
        return None

    def _first_batches(self, encoder: Encoder[R]) -> list[list[TokenizedText]]:
        """What a new model answers before anybody asks: its first forwards are slow, and the later
        ones tell the lane how long one takes."""
        limit = encoder.max_tokens
        texts = ["a", "a " * min(WARM_UP_TOKENS, limit // 2)]
        read = tokenize(encoder.tokenizer, texts, limit, truncate=True)
        sizes = (1, WARM_UP_TEXTS)
        pairs = zip(read, sizes, strict=True)
        return [[text] * size for text, size in pairs if isinstance(text, TokenizedText)]


def in_parts(texts: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Texts that are tokenized in one go: few enough that others need not wait for long."""
    return (tuple(texts[i : i + READ_TOGETHER]) for i in range(0, len(texts), READ_TOGETHER))
