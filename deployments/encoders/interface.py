"""The interface of an encoder network, whichever engine runs it, and what is known of a model."""

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

STORED_MULTI_LABEL = "several"
"""The key of ``multi_label`` in files: weights caches hold folders with it."""


@dataclass(frozen=True, slots=True)
class EncoderInfo:
    """The properties of an encoder that a family needs, apart from its weights.

    ``max_tokens`` bounds a text; ``labels`` are in the order of the outputs; with ``multi_label`` a
    text may have several of them. ``prompts`` are put before texts, by name; ``default_prompt`` is
    the one for requests that name none. Unless the network ``pools_prompts``, it leaves their
    ``prompt_tokens`` out of the vector. A vector is cut to its first ``dimensions`` where a request
    does not say how many it wants.
    """

    max_tokens: int
    labels: tuple[str, ...] = ()
    multi_label: bool = False
    prompts: Mapping[str, str] = field(default_factory=dict)
    default_prompt: str | None = None
    pools_prompts: bool = True
    prompt_tokens: Mapping[str, int] = field(default_factory=dict)
    dimensions: int | None = None

    def write(self, file: Path) -> None:
        stored = asdict(self)
        stored[STORED_MULTI_LABEL] = stored.pop("multi_label")
        file.write_text(json.dumps(stored, indent=2) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, file: Path) -> EncoderInfo:
        stored = json.loads(file.read_text(encoding="utf-8"))
        multi_label = stored.pop(STORED_MULTI_LABEL)
        return cls(**{**stored, "labels": tuple(stored["labels"])}, multi_label=multi_label)


class Network(Protocol):
    """A loaded encoder and its tokenizer, which is called as transformers' tokenizers are.

    A call runs one forward; ``at_once`` forwards may run at a time. By the model's head it returns
    vectors of shape (texts, dimensions), logits of shape (texts, labels), or, for heads that label
    tokens, logits of shape (texts, longest text, labels).
    """

    @property
    def engine(self) -> EngineName: ...
    @property
    def at_once(self) -> int: ...
    @property
    def tokenizer(self) -> Any: ...
    @property
    def info(self) -> EncoderInfo: ...

    def __call__(self, batch: Sequence[TokenizedText]) -> Outputs: ...
