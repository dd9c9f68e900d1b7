"""Reads the JSON files of a model's folder: window, special tokens, chat template."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_WINDOW_NAMES = ("max_position_embeddings", "n_positions", "n_ctx", "max_sequence_length")
_TOKENS_IN_TOKENIZER_CONFIG = ("bos_token", "eos_token", "unk_token", "pad_token", "sep_token")


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file; empty when there is no such file."""
    if not path.is_file():
        return {}
    value = json.loads(path.read_text(encoding="utf-8"))
    return value if isinstance(value, dict) else {}


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """A folder as ``save_pretrained`` writes it: configurations beside the weights.

    ``config`` is that of the text model where the model has several parts.
    """

    path: Path
    config: Mapping[str, Any]
    generation: Mapping[str, Any]
    tokenizer: Mapping[str, Any]

    @classmethod
    def read(cls, path: Path | str) -> ModelFolder:
        """Raises ``FileNotFoundError`` when there is no such folder, ``ValueError`` on bad JSON."""
        folder = Path(path)
        if not folder.is_dir():
            raise FileNotFoundError(f"There is no folder {folder}")
        config = read_json(folder / "config.json")
        return cls(
            path=folder,
            config={**config, **config.get("text_config", {})},
            generation=read_json(folder / "generation_config.json"),
            tokenizer=read_json(folder / "tokenizer_config.json"),
        )

    @property
    def window(self) -> int | None:
        """The positions that the model was made for, in tokens."""
        for name in _WINDOW_NAMES:
            if isinstance(self.config.get(name), int):
                return int(self.config[name])
        return None

    @property
    def eos_ids(self) -> frozenset[int]:
        found: set[int] = set()
        for source in (self.generation, self.config):
            value = source.get("eos_token_id")
            found.update([value] if isinstance(value, int) else value or [])
        return frozenset(found)

    @property
    def special_tokens(self) -> dict[str, str]:
        """The special tokens by the names that chat templates use, such as ``eos_token``."""
        named: dict[str, str] = {}
        for name in _TOKENS_IN_TOKENIZER_CONFIG:
            value = self.tokenizer.get(name)
            content = value.get("content") if isinstance(value, dict) else value
            if isinstance(content, str):
                named[name] = content
        return named

    @property
    def chat_template(self) -> str | None:
        """The model's own template: the file, or the entry of ``tokenizer_config.json``."""
        file = self.path / "chat_template.jinja"
        if file.is_file():
            return file.read_text(encoding="utf-8")
        value = self.tokenizer.get("chat_template")
        if isinstance(value, list):
            value = {entry.get("name"): entry.get("template") for entry in value}.get("default")
        return value if isinstance(value, str) else None

    @property
    def decisions(self) -> dict[str, Any]:
        """``decision.json``, with ``chat_template`` where there is a ``decision_template.jinja``.

        These are the files of transformers' ``DecisionConfig``.
        """
        template = self.path / "decision_template.jinja"
        given = {"chat_template": template.name} if template.is_file() else {}
        return {**read_json(self.path / "decision.json"), **given}

    def kv_values_per_token(self) -> int | None:
        """How many numbers the KV cache holds for a token, over all layers; ``None`` if unknown."""
        layers, heads = self.config.get("num_hidden_layers"), self.config.get("num_attention_heads")
        hidden = self.config.get("hidden_size")
        if not (isinstance(layers, int) and isinstance(heads, int) and isinstance(hidden, int)):
            return None
        kv_heads = self.config.get("num_key_value_heads") or heads
        return 2 * layers * int(kv_heads) * int(self.config.get("head_dim") or hidden // heads)
