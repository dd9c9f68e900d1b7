"""What the families of plain encoders share: networks on whichever engine runs them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar, Generic, TypeAlias, TypeVar

from configs.engines import ModelHead
from configs.profile import ModelSpec
from deployments.batching.lane import Lane
from deployments.encoders.backends import choose_backend, import_backend, open_network
from deployments.encoders.family import Encoder, EncoderFamily
from deployments.encoders.interface import Network
from deployments.encoders.tokenization import TokenizedText, tokenize
from deployments.seam.problems import Problem

R = TypeVar("R")

WARM_UP_TEXTS, WARM_UP_TOKENS = 8, 32

Answering: TypeAlias = Callable[[Sequence[TokenizedText]], Sequence[R | Problem]]
"""One answer a text of a batch, in order."""


class NetworkFamily(EncoderFamily[R], Generic[R]):
    """A deployment of networks with one kind of ``head``. A family says what it answers."""

    head: ClassVar[ModelHead]

    @abstractmethod
    def answering(self, network: Network, spec: ModelSpec) -> Answering[R]:
        """What makes answers of the network's outputs. Raises ``ValueError`` for a wrong model."""

    def _fetch(self, spec: ModelSpec) -> Path:
        return choose_backend(self._config, spec, self.head).folder

    def _prepare(self, spec: ModelSpec) -> None:
        import_backend(choose_backend(self._config, spec, self.head), self.head)

    def _open(self, spec: ModelSpec) -> Network:
        return open_network(self._config, spec, self.head)

    def _load(self, spec: ModelSpec) -> Encoder[R]:
        network = self._open(spec)
        run = self.answering(network, spec)
        lane: Lane[TokenizedText, R] = self._lane(
            spec.name, run, len, at_once=network.at_once, engine=network.engine
        )
        limit = spec.max_tokens or network.info.max_tokens
        encoder = Encoder(network.tokenizer, limit, lane, network.engine)
        lane.warm_up(self._first_batches(encoder))
        return encoder

    def _first_batches(self, encoder: Encoder[R]) -> list[list[TokenizedText]]:
        """What a new model answers before anybody asks: its first forwards are slow, and the later
        ones tell the lane how long one takes."""
        limit = encoder.max_tokens
        texts = ["a", "a " * min(WARM_UP_TOKENS, limit // 2)]
        read = tokenize(encoder.tokenizer, texts, limit, truncate=True)
        pairs = zip(read, (1, WARM_UP_TEXTS), strict=True)
        return [[text] * size for text, size in pairs if isinstance(text, TokenizedText)]
