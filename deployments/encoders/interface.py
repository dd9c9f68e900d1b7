"""What a family asks of an encoder, whatever runs it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from configs.engines import EngineName
from deployments.encoders.tokenization import TokenizedText

Outputs: TypeAlias = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class EncoderInfo:
    """What is known of an encoder besides its weights.

    ``max_tokens`` bounds a text; ``labels`` are in the order of the outputs, and ``several`` of
    them may hold at once. ``prompts`` go before texts, by name, and the one of ``default_prompt``
    where a request names none. Unless it ``pools_prompts``, the network leaves their
    ``prompt_tokens`` out of the vector. Of that only the first ``dimensions`` are given where a
    request does not say how many.
    """

    max_tokens: int
    labels: tuple[str, ...] = ()
    several: bool = False
    prompts: Mapping[str, str] = field(default_factory=dict)
    default_prompt: str | None = None
    pools_prompts: bool = True
    prompt_tokens: Mapping[str, int] = field(default_factory=dict)
    dimensions: int | None = None

    def write(self, file: Path) -> None:
        file.write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, file: Path) -> EncoderInfo:
        facts = json.loads(file.read_text(encoding="utf-8"))
        return cls(**{**facts, "labels": tuple(facts["labels"])})


class Network(Protocol):
    """A loaded encoder and its tokenizer, which is called as one of transformers.

    Calling it runs one forward, of which ``at_once`` may run at a time: a vector a text, of shape
    (texts, dimensions); logits, of shape (texts, labels); or logits of shape (texts, longest,
    labels), for heads of tokens.
    """

    @property
    def engine(self) -> EngineName: ...
    @property
    def at_once(self) -> int: ...
    @property
    def tokenizer(self) -> Any: ...
    @property
    def traits(self) -> EncoderInfo: ...

    def __call__(self, batch: Sequence[TokenizedText]) -> Outputs: ...
