"""Families over tiny models of random weights, outside Serve."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch
from transformers import BertConfig, BertTokenizer

from configs.engines import ModelHead
from configs.profile import ModelSpec
from configs.settings import Settings
from configs.weights import FolderSource
from deployments.models.config import FamilyConfig
from deployments.models.family import FamilyDeployment

MAX_TOKENS = 16
WORDS = ("this", "example", "is", ".", ",", "@", *"abcdefghij", "sport", "tax", "cat")
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
PIECES = ("##s", "##ing")


F = TypeVar("F", bound=FamilyDeployment[Any])


async def started(family: F) -> F:
    """``family`` as Serve starts it: its pinned models are loaded."""
    await family.check_health()
    return family


def watch_batches(family: FamilyDeployment[Any], watch: Callable[[Sequence[Any]], None]) -> None:
    """Have ``watch`` called with each batch of texts before a model of ``family`` runs it."""
    loader: Any = family._loader
    heads = loader._heads

    def watched(head: ModelHead, network: Any, spec: ModelSpec) -> Any:
        run = heads[head](network, spec)

        def watched_run(batch: Sequence[Any]) -> Any:
            watch(batch)
            return run(batch)

        return watched_run

    loader._heads = {head: partial(watched, head) for head in heads}


def family_of(folder: Path, *tasks: str, **fields: Any) -> FamilyConfig:
    """A family of one pinned model, ``tiny``, on the CPU and on torch, which converts nothing."""
    usual: dict[str, Any] = {"pinned": True, "engine": "torch", "dtype": "float32"}
    spec = ModelSpec(
        name="tiny", tasks=tasks, source=FolderSource(folder=folder), **(usual | fields)
    )
    settings = Settings(device="cpu", threads=1, hf_cache_dir=folder.parent / "cache")
    return FamilyConfig("family", (spec,), settings)


def tokenizer() -> Any:
    """BERT's, with a vocabulary of a few words."""
    words = {word: index for index, word in enumerate((*SPECIAL, *WORDS, *PIECES))}
    made: Any = BertTokenizer(vocab=words)
    made.model_max_length = MAX_TOKENS
    return made


def bert_config(*labels: str, **more: Any) -> Any:
    """Wide weights, so that different texts have clearly different answers."""
    torch.manual_seed(0)
    return BertConfig(
        vocab_size=len(SPECIAL) + len(WORDS) + len(PIECES),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=MAX_TOKENS,
        initializer_range=0.5,
        id2label=dict(enumerate(labels)),
        label2id={label: index for index, label in enumerate(labels)},
        **more,
    )


def saved(model: Any, folder: Path) -> Path:
    """``model`` and the tokenizer, as a folder that a family loads."""
    model.eval().save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder
