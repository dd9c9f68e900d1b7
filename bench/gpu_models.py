"""Llama-like models with random weights, and a tokenizer of bytes: nothing is downloaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM

from deployments.engine.codec import TextCodec
from deployments.engine.model_folder import ModelFolder

END = 256
"""The token that ends a text."""

SIZES: dict[str, dict[str, Any]] = {
    "tiny": {
        "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 512,
    },
    "135M": {
        "hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30,
        "num_attention_heads": 9, "num_key_value_heads": 3, "vocab_size": 49_152,
    },
    "1B": {
        "hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16,
        "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 128_256,
    },
    "8B": {
        "hidden_size": 4096, "intermediate_size": 14_336, "num_hidden_layers": 32,
        "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 128_256,
    },
}  # fmt: skip
"""The shapes of SmolLM2 135M, Llama 3.2 1B and Llama 3.1 8B, and one for a trial on a CPU."""


def random_model(name: str, window: int, device: torch.device, dtype: torch.dtype) -> Any:
    """A model of ``SIZES`` for ``window`` tokens, the same at every call on the same device."""
    config = LlamaConfig(
        **SIZES[name],
        max_position_embeddings=window,
        # Wide weights, so that texts depend on what the attention reads.
        initializer_range=0.1,
        bos_token_id=None,
        eos_token_id=END,
        dtype=dtype,
    )
    torch.manual_seed(0)
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with device:
            model: Any = LlamaForCausalLM(config)
            return model.eval()
    finally:
        torch.set_default_dtype(before)


def byte_codec(vocabulary: int) -> TextCodec:
    """One token a byte; the other token ids of the model have no text."""
    characters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(characters)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken("<end>", special=True)])
    config = {"vocab_size": vocabulary}
    folder = ModelFolder(Path("nowhere"), config, {"eos_token_id": END}, {"eos_token": "<end>"})
    return TextCodec(tokenizer, folder)
