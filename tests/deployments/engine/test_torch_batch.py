from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
)

from deployments.engine.interface import Engine, EngineNotLoaded
from deployments.engine.torch_batch import TorchEngine
from tests.deployments.engine.reading import Reader

PROMPT = [3, 14, 15, 92, 65, 35, 89, 79, 32, 38, 46, 26]
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


def tiny(kind: str) -> Any:
    torch.manual_seed(0)
    if kind == "llama":
        return LlamaForCausalLM(LlamaConfig(**SIZES))
    if kind == "sliding":
        return MistralForCausalLM(MistralConfig(**SIZES, sliding_window=4))
    sizes = GPT2Config(
        vocab_size=257, n_embd=32, n_layer=2, n_head=4, n_positions=128, eos_token_id=256
    )
    return GPT2LMHeadModel(sizes)


def saved(folder: Path, model: Any, tokenizer: Tokenizer) -> Path:
    model.save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


@pytest.mark.parametrize("kind", ["llama", "sliding", "gpt2"])
@pytest.mark.parametrize("chunk", [1, 5, 512])
def test_it_says_what_generate_says_however_the_prompt_is_cut(
    tmp_path: Path, byte_tokenizer: Tokenizer, kind: str, chunk: int
) -> None:
    model = tiny(kind).eval()
    engine = TorchEngine(saved(tmp_path, model, byte_tokenizer), device="cpu", prefill_chunk=chunk)
    reader = Reader(engine, PROMPT, new=20, temperature=0.0, repetition_penalty=1.2)
    reader.read()
    engine.close()
    expected = model.generate(
        torch.tensor([PROMPT]),
        do_sample=False,
        max_new_tokens=20,
        repetition_penalty=1.2,
        pad_token_id=256,
    )
    assert reader.ids == expected[0, len(PROMPT) :].tolist()


def test_the_models_positions_bound_the_window(tmp_path: Path, byte_tokenizer: Tokenizer) -> None:
    folder = saved(tmp_path, tiny("gpt2"), byte_tokenizer)
    wide, narrow = (TorchEngine(folder, device="cpu", window=size) for size in (None, 50))
    assert (wide.window, narrow.window) == (128, 50)
    reader = Reader(wide, PROMPT, new=128 - len(PROMPT), temperature=0.0, eos_ids=frozenset())
    reader.read()
    assert len(reader.tokens) == 128 - len(PROMPT)
    wide.close()
    narrow.close()


def test_a_half_precision_model_is_loaded_as_asked(
    tmp_path: Path, byte_tokenizer: Tokenizer
) -> None:
    folder = saved(tmp_path, tiny("llama"), byte_tokenizer)
    whole = TorchEngine(folder, device="cpu")
    half = TorchEngine(folder, device="cpu", dtype="bfloat16")
    assert whole.load().memory_bytes == pytest.approx(2 * (half.load().memory_bytes or 0), rel=0.01)
    for engine in (whole, half):
        Reader(engine, PROMPT, new=3, temperature=0.0).read()
        engine.close()


def test_bias_bans_and_forces_tokens(torch_engine: Engine) -> None:
    question = "What is the capital of France?"
    plain = Reader(torch_engine, question, new=3, temperature=0.0)
    plain.read()
    banned = Reader(torch_engine, question, new=3, temperature=0.0, logit_bias={plain.ids[0]: -100})
    forced = Reader(torch_engine, question, new=3, temperature=1.0, logit_bias={4321: 100})
    banned.read()
    forced.read()
    assert plain.ids[0] not in banned.ids
    assert forced.ids == [4321] * 3


def test_the_most_likely_tokens_are_reported_in_order(torch_engine: Engine) -> None:
    reader = Reader(torch_engine, "Say yes.", new=4, temperature=0.0, logprobs=True, top_logprobs=5)
    reader.read()
    for token in reader.tokens:
        assert token.logprob is not None
        values = [value for _, value, _ in token.logprob.top]
        assert len(values) == 5
        assert values == sorted(values, reverse=True)
        assert token.logprob.logprob == values[0]
        assert token.logprob.top[0][0] == token.logprob.text


def test_a_folder_without_weights_is_a_clear_error(gguf_folder: Path) -> None:
    with pytest.raises(EngineNotLoaded, match="cannot load"):
        TorchEngine(gguf_folder, device="cpu")


def test_an_unknown_dtype_is_a_clear_error(torch_folder: Path) -> None:
    with pytest.raises(EngineNotLoaded, match="float31"):
        TorchEngine(torch_folder, device="cpu", dtype="float31")
