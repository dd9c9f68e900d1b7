"""A batch as rectangular arrays, padded to its longest text as the model's tokenizer would."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from deployments.texts import TokenizedText

Arrays: TypeAlias = dict[str, npt.NDArray[np.int64]]


@dataclass(frozen=True, slots=True)
class Padding:
    """Which ids fill up shorter texts, and at which side. The attention mask is 0 there."""

    side: Literal["left", "right"] = "right"
    token_id: int = 0
    token_type_id: int = 0

    @classmethod
    def of(cls, tokenizer: Any) -> Padding:
        """A tokenizer of transformers. One without a padding token gives 0, which is masked."""
        return cls(tokenizer.padding_side, tokenizer.pad_token_id or 0, tokenizer.pad_token_type_id)

    def __call__(self, batch: Sequence[TokenizedText]) -> Arrays:
        """The batch's features by name, int64 of shape (texts, longest)."""
        return {name: self._column(name, batch) for name in batch[0].columns}

    def _column(self, name: str, batch: Sequence[TokenizedText]) -> npt.NDArray[np.int64]:
        fill = {"input_ids": self.token_id, "token_type_ids": self.token_type_id}.get(name, 0)
        longest = max(map(len, batch))
        column = np.full((len(batch), longest), fill, np.int64)
        for row, text in zip(column, batch, strict=True):
            start = longest - len(text) if self.side == "left" else 0
            row[start : start + len(text)] = text.columns[name]
        return column
