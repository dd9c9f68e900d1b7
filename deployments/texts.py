"""Texts as token ids, checked against the model's limit one by one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from deployments.seam import Problem


@dataclass(frozen=True, slots=True)
class TokenizedText:
    """One text as the model's tokenizer sees it: a mapping of equally long integer lists."""

    features: dict[str, list[int]]

    def __len__(self) -> int:
        return len(self.features["input_ids"])


def tokenize(
    tokenizer: Any, texts: Sequence[str], max_tokens: int, *, truncate: bool
) -> list[TokenizedText | Problem]:
    """Each text's tokens, cut to ``max_tokens`` with ``truncate``, else a problem if longer."""
    encoded = tokenizer(
        list(texts), truncation=truncate, max_length=max_tokens if truncate else None, verbose=False
    )
    made: list[TokenizedText | Problem] = []
    for index in range(len(texts)):
        features = {name: values[index] for name, values in encoded.items()}
        count = len(features["input_ids"])
        if count > max_tokens:
            message = f"the text has {count} tokens; the model takes {max_tokens}"
            made.append(Problem("validation", f"{message} (or set truncate)"))
        else:
            made.append(TokenizedText(features))
    return made


def pad(tokenizer: Any, batch: Sequence[TokenizedText], device: str) -> dict[str, Any]:
    """A batch as tensors of shape (texts, longest), int64."""
    names = batch[0].features
    columns = {name: [text.features[name] for text in batch] for name in names}
    return dict(tokenizer.pad(columns, padding=True, return_tensors="pt").to(device))
