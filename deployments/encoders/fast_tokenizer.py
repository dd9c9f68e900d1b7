"""The tokenizers of transformers without transformers, whose own import brings torch along.

Transformers' fast tokenizers are the Rust library's with a layer around. That layer's part in what
families ask of a tokenizer is here, under its names, so that either kind serves them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from tokenizers import Encoding, Tokenizer

from deployments.encoders.padding import Padding

TOKENIZER_FILE = "tokenizer.json"
HABITS_FILE = "tokenizer_habits.json"

Strategy = Literal["longest_first", "only_first", "only_second"]


@dataclass(frozen=True, slots=True)
class TokenizerSettings:
    """What transformers knows of a tokenizer beside its ``tokenizer.json``.

    ``features`` are the model's inputs; special tokens that a text spells out are split into
    ordinary ones where ``splits_special_tokens``.
    """

    features: tuple[str, ...]
    truncation_side: Literal["left", "right"]
    splits_special_tokens: bool
    padding: Padding


class Encoded(dict[str, list[Any]]):
    """Features by name, one list a row, and where each row's tokens come from."""

    def __init__(self, features: dict[str, list[Any]], rows: Sequence[Encoding]) -> None:
        super().__init__(features)
        self._rows = rows

    def word_ids(self, row: int = 0) -> list[int | None]:
        return self._rows[row].word_ids


class FastTokenizer:
    """One that :meth:`save` wrote. Not for several threads at once: truncation is a state of it."""

    is_fast = True

    def __init__(self, tokenizer: Tokenizer, habits: TokenizerSettings) -> None:
        tokenizer.no_padding()
        tokenizer.no_truncation()
        tokenizer.encode_special_tokens = habits.splits_special_tokens
        self._tokenizer = tokenizer
        self._habits = habits

    @classmethod
    def save(cls, tokenizer: Any, folder: Path) -> None:
        """Write a fast tokenizer of transformers, as it is after all of transformers' changes."""
        habits = TokenizerSettings(
            features=tuple(tokenizer.model_input_names),
            truncation_side=tokenizer.truncation_side,
            splits_special_tokens=bool(tokenizer.split_special_tokens),
            padding=Padding.of(tokenizer),
        )
        tokenizer.backend_tokenizer.save(str(folder / TOKENIZER_FILE))
        text = json.dumps(asdict(habits), indent=2)
        (folder / HABITS_FILE).write_text(f"{text}\n", encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> FastTokenizer:
        facts = json.loads((folder / HABITS_FILE).read_text(encoding="utf-8"))
        facts |= {"features": tuple(facts["features"]), "padding": Padding(**facts["padding"])}
        return cls(Tokenizer.from_file(str(folder / TOKENIZER_FILE)), TokenizerSettings(**facts))

    @property
    def padding(self) -> Padding:
        return self._habits.padding

    def __call__(
        self,
        texts: Sequence[str],
        pairs: Sequence[str] | None = None,
        *,
        truncation: bool | Strategy = False,
        max_length: int | None = None,
        stride: int = 0,
        add_special_tokens: bool = True,
        return_overflowing_tokens: bool = False,
        return_offsets_mapping: bool = False,
        verbose: bool = True,
    ) -> Encoded:
        """As transformers' own; ``verbose`` is theirs and has nothing to say here."""
        self._truncate(truncation, max_length, stride)
        batch = list(texts) if pairs is None else list(zip(texts, pairs, strict=True))
        encodings = self._tokenizer.encode_batch(batch, add_special_tokens=add_special_tokens)
        rows, places = encodings, list(range(len(encodings)))
        if return_overflowing_tokens:
            read = [[encoding, *encoding.overflowing] for encoding in encodings]
            rows = [row for of_text in read for row in of_text]
            places = [place for place, of_text in enumerate(read) for _ in of_text]
        features = self._features(rows)
        if return_offsets_mapping:
            features["offset_mapping"] = [row.offsets for row in rows]
        if return_overflowing_tokens:
            features["overflow_to_sample_mapping"] = places
        return Encoded(features, rows)

    def num_special_tokens_to_add(self, pair: bool = False) -> int:
        return int(self._tokenizer.num_special_tokens_to_add(pair))

    def _truncate(self, strategy: bool | Strategy, max_length: int | None, stride: int) -> None:
        if strategy is False or max_length is None:
            self._tokenizer.no_truncation()
            return
        self._tokenizer.enable_truncation(
            max_length,
            stride=stride,
            strategy="longest_first" if strategy is True else strategy,
            direction=self._habits.truncation_side,
        )

    def _features(self, rows: Sequence[Encoding]) -> dict[str, list[Any]]:
        features: dict[str, list[Any]] = {"input_ids": [row.ids for row in rows]}
        if "token_type_ids" in self._habits.features:
            features["token_type_ids"] = [row.type_ids for row in rows]
        if "attention_mask" in self._habits.features:
            features["attention_mask"] = [row.attention_mask for row in rows]
        return features
