"""Tiny models with random weights, saved as folders, and what their greedy texts must be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from transformers import (
    BloomConfig,
    BloomForCausalLM,
    Gemma2Config,
    Gemma2ForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from deployments.engine.interface import Engine
from deployments.engine.settings import EngineSettings
from deployments.engine.torch_engine import open_torch_engine
from tests.deployments.engine.reading import Reader

SIZES: dict[str, Any] = {
    "vocab_size": 257,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "bos_token_id": None,
    "eos_token_id": 256,
}


PACKED = ["llama", "sliding", "softcap", "qwen", "gpt2"]
"""Models whose running sequences are packed into one forward. Bloom's decode one by one."""


def tiny(kind: str, positions: int = 128) -> Any:
    """A model with the same random weights at every call, for texts of so many tokens."""
    torch.manual_seed(0)
    sizes = SIZES | {"max_position_embeddings": positions}
    if kind == "llama":
        return LlamaForCausalLM(LlamaConfig(**sizes))
    if kind == "sliding":
        return MistralForCausalLM(MistralConfig(**sizes, sliding_window=4))
    if kind == "softcap":
        return Gemma2ForCausalLM(Gemma2Config(**sizes, head_dim=8, sliding_window=6))
    if kind == "qwen":
        return Qwen3ForCausalLM(Qwen3Config(**sizes, head_dim=8))
    if kind == "bloom":
        bloom = BloomConfig(vocab_size=257, hidden_size=32, n_layer=2, n_head=4, eos_token_id=256)
        return BloomForCausalLM(bloom)
    gpt2 = GPT2Config(
        vocab_size=257, n_embd=32, n_layer=2, n_head=4, n_positions=positions, eos_token_id=256
    )
    return GPT2LMHeadModel(gpt2)


def saved(folder: Path, model: Any, tokenizer: Tokenizer) -> Path:
    model.save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def opened(folder: Path, slots: int = 1, **settings: Any) -> Engine:
    return open_torch_engine(folder, EngineSettings(slots=slots, device="cpu", **settings))


TOKEN_BYTES = 2 * 2 * 2 * 8 * 4
"""Keys and values of two layers with two heads of eight float32 numbers each."""


def kv_gb(tokens: int) -> float:
    return tokens * TOKEN_BYTES / 2**30


def assert_greedy(model: Any, reader: Reader) -> None:
    """The text is that of ``generate``, up to the first near tie of the two best tokens."""
    prompt = list(reader.sequence.prompt_ids)
    expected = generated(model, prompt, reader.sequence.max_new_tokens)
    if reader.ids == expected:
        return
    pairs = zip(reader.ids, expected, strict=False)
    at = next(index for index, (ours, theirs) in enumerate(pairs) if ours != theirs)
    with torch.inference_mode():
        logits = model(torch.tensor([[*prompt, *expected[:at]]])).logits[0, -1]
    best = logits.topk(2).values
    assert float(best[0] - best[1]) < 1e-3


def generated(model: Any, prompt: list[int], new: int, **options: Any) -> list[int]:
    """The new tokens of greedy ``generate``."""
    ids = torch.tensor([prompt])
    options |= {"do_sample": False, "max_new_tokens": new, "pad_token_id": 0}
    out = model.generate(ids, attention_mask=torch.ones_like(ids), **options)
    return list(out[0, len(prompt) :].tolist())
