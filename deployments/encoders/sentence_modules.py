"""Loads sentence-transformers checkpoints as one torch module.

It computes the same vectors as ``SentenceTransformer.encode``. A checkpoint for which it would not
is refused when it is loaded.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules.dense import Dense
from sentence_transformers.base.modules.normalize import Normalize
from sentence_transformers.base.modules.transformer import Transformer
from sentence_transformers.sentence_transformer.modules.dropout import Dropout
from sentence_transformers.sentence_transformer.modules.layer_norm import LayerNorm
from sentence_transformers.sentence_transformer.modules.pooling import Pooling
from sentence_transformers.sentence_transformer.modules.weighted_layer_pooling import (
    WeightedLayerPooling,
)
from sentence_transformers.sentence_transformer.modules.word_weights import WordWeights

from deployments.encoders.interface import EncoderInfo
from deployments.encoders.tokenization import token_limit
from deployments.models.load_errors import UnsupportedError
from deployments.models.memory import own_weights

logger = logging.getLogger(__name__)

SUPPORTED_MODULES = (
    Pooling,
    Dense,
    LayerNorm,
    Normalize,
    Dropout,
    WeightedLayerPooling,
    WordWeights,
)
"""Modules that may follow the transformer. Others depend on the padding (``CNN``), or on the kind
of text (``Router``)."""

PROBE = ' What Is "READ" here?\n'
LIBRARY = "sentence_transformers."


class SentenceModules(torch.nn.Module):
    """The modules of a checkpoint, in order.

    ``pooled``, of shape (texts, longest text), is 1 for the tokens that are pooled; it is given
    where pooling leaves the prompt out.
    """

    def __init__(self, modules: Iterable[torch.nn.Module]) -> None:
        super().__init__()
        self.steps = torch.nn.ModuleList(modules)

    def forward(self, pooled: Any = None, **features: Any) -> Any:
        for step in self.steps:
            excludes_prompt = pooled is not None and isinstance(step, Pooling)
            features = (
                _pool_without_prompts(step, features, pooled) if excludes_prompt else step(features)
            )
        return features["sentence_embedding"]


def _pool_without_prompts(pooling: Any, features: dict[str, Any], pooled: Any) -> dict[str, Any]:
    """Pool each row without its prompt, whose length differs between rows.

    The library has one prompt length for all rows. It excludes the prompt in a single method,
    ``Pooling._exclude_prompt_from_mask``, which the stand-in object here replaces.
    """
    embeddings = features["token_embeddings"]
    mask = features.get("attention_mask", torch.ones_like(pooled))
    stand_in: Any = SimpleNamespace(
        pooling_mode=pooling.pooling_mode,
        _exclude_prompt_from_mask=lambda mask, _: mask * pooled,
    )
    vectors = Pooling._forward_padded(stand_in, embeddings, mask, features, prompt_length=1)
    return {**features, "sentence_embedding": torch.cat(vectors, dim=-1)}


def load_sentence_modules(
    folder: Path, device: str, options: dict[str, Any]
) -> tuple[Any, EncoderInfo, SentenceModules]:
    """The tokenizer, what is known of the model, and the network.

    ``options`` are arguments of ``from_pretrained``. Raises :class:`UnsupportedError` for a
    checkpoint whose vectors would differ from the library's.
    """
    model = SentenceTransformer(
        str(folder),
        device=device,
        local_files_only=True,
        trust_remote_code=options.pop("trust_remote_code"),
        model_kwargs=options,
    ).eval()
    own_weights(model)
    modules = list(model)
    _check_modules(*modules)
    limit = _limit(model, modules[0])
    _check_tokenizing(model, limit)
    if model.similarity_fn_name != "cosine":
        message = "%s compares by %s; similarities and searches here are cosines"
        logger.warning(message, folder.name, model.similarity_fn_name)
    # The request says whether vectors are normalised, not the checkpoint.
    while isinstance(modules[-1], Normalize):
        modules.pop()
    return model.tokenizer, _encoder_info(model, modules, limit), SentenceModules(modules)


def _check_modules(first: Any, *others: Any) -> None:
    if type(first) is not Transformer and _is_library(first):
        raise UnsupportedError(f"it begins with a {type(first).__name__} module")
    for module in others:
        if not isinstance(module, SUPPORTED_MODULES) and _is_library(module):
            raise UnsupportedError(f"it has a {type(module).__name__} module")
    if "message" in getattr(first, "modality_config", {}):
        raise UnsupportedError("it puts texts into a chat template")


def _check_tokenizing(model: Any, limit: int) -> None:
    """Refuse a checkpoint that does more to a text than its tokenizer does."""
    read = model.preprocess([PROBE])
    ids = read["input_ids"][0]
    if "attention_mask" in read:
        ids = ids[read["attention_mask"][0].bool()]
    ours = model.tokenizer([PROBE], truncation=True, max_length=limit)["input_ids"][0]
    if ids.tolist() != ours:
        raise UnsupportedError("it reads texts in a way of its own")


def _is_library(module: Any) -> bool:
    """Whether the library defines the module's class. Other classes are a checkpoint's own code,
    which runs only if it is trusted."""
    return type(module).__module__.startswith(LIBRARY)


def _encoder_info(model: Any, modules: Sequence[Any], limit: int) -> EncoderInfo:
    pools_prompts = all(module.include_prompt for module in modules if isinstance(module, Pooling))
    prompts = {name: text or "" for name, text in model.prompts.items()}
    return EncoderInfo(
        limit,
        prompts=prompts,
        default_prompt=model.default_prompt_name,
        pools_prompts=pools_prompts,
        prompt_tokens={}
        if pools_prompts
        else {name: _prompt_tokens(model.tokenizer, text, limit) for name, text in prompts.items()},
        dimensions=model.truncate_dim,
    )


def _limit(model: Any, first: Any) -> int:
    """Tokens that a text may have: the checkpoint's own limit, bounded by position embeddings."""
    limits = [int(model.get_max_seq_length() or 512)]
    for kind in ("common", "text"):
        max_length = getattr(first, "processing_kwargs", {}).get(kind, {}).get("max_length")
        limits += [max_length] if max_length else []
    config = getattr(first, "config", None)
    if (getattr(config, "max_position_embeddings", None) or 0) > 0:
        limits.append(token_limit(model.tokenizer, first))
    return min(limits)


def _prompt_tokens(tokenizer: Any, prompt: str, limit: int) -> int:
    """Tokens of a prompt in front of a text, so without a special token at its end."""
    if not prompt:
        return 0
    ids = tokenizer([prompt], truncation=True, max_length=limit)["input_ids"][0]
    return len(ids) - (ids[-1] in tokenizer.all_special_ids)
