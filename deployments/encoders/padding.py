"""Pads a batch of tokenized texts to its longest one, as the model's tokenizer would."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from deployments.encoders.tokenization import TokenizedText

Arrays: TypeAlias = dict[str, npt.NDArray[np.int64]]


@dataclass(frozen=True, slots=True)
class Padding:
    """The ids that pad shorter texts, and at which side. The attention mask is 0 there."""

    side: Literal["left", "right"] = "right"
    token_id: int = 0
    token_type_id: int = 0

    @classmethod
    def of(cls, tokenizer: Any) -> Padding:
        """The padding of a transformers tokenizer: id 0, masked, if it has no padding token."""
        return cls(tokenizer.padding_side, tokenizer.pad_token_id or 0, tokenizer.pad_token_type_id)

    def __call__(self, batch: Sequence[TokenizedText], *, pooled: bool = False) -> Arrays:
        """The batch's features by name, int64 of shape (texts, longest text).

        With ``pooled`` there is one more feature of that name: 1 for the tokens that are pooled.
        """
        fills = {"input_ids": self.token_id, "token_type_ids": self.token_type_id}
        arrays = {
            name: self._column([text.columns[name] for text in batch], fills.get(name, 0))
            for name in batch[0].columns
        }
        if pooled:
            rows = [[0] * t.unpooled + [1] * (len(t) - t.unpooled) for t in batch]
            arrays["pooled"] = self._column(rows, 0)
        return arrays

    def _column(self, rows: Sequence[Sequence[int]], fill: int) -> npt.NDArray[np.int64]:
        longest = max(map(len, rows))
        column = np.full((len(rows), longest), fill, np.int64)
        for made, row in zip(column, rows, strict=True):
            start = longest - len(row) if self.side == "left" else 0
            made[start : start + len(row)] = row
        return column
