"""The generation family over the torch engine, on tiny models with random weights."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from deployments.engine.factory import EngineKind, open_engine
from deployments.engine.interface import Engine
from deployments.engine.settings import EngineSettings
from deployments.generation import Generation
from deployments.seam.generation import (
    ChatMessage,
    GenerationRequest,
    GenerationResult,
    Sampling,
    TokenChunk,
)
from deployments.seam.problems import Problem
from tests.deployments.conftest import Configured
from tests.deployments.families import started

PATIENCE_S = 120.0
GREEDY = Sampling(temperature=0.0)
END = 256


def saved(folder: Path, model: Any, tokenizer: Tokenizer) -> Path:
    model.save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<end>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder


@pytest.fixture(scope="module")
def dialogue_folder(tmp_path_factory: pytest.TempPathFactory, byte_tokenizer: Tokenizer) -> Path:
    """Shaped as DialoGPT: GPT-2 without a chat template."""
    torch.manual_seed(0)
    sizes = GPT2Config(
        vocab_size=257, n_embd=32, n_layer=2, n_head=4, n_positions=128, eos_token_id=END
    )
    model = GPT2LMHeadModel(sizes)
    return saved(tmp_path_factory.mktemp("gpt2") / "model", model, byte_tokenizer)


@pytest.fixture(scope="module")
def llama_folder(tmp_path_factory: pytest.TempPathFactory, byte_tokenizer: Tokenizer) -> Path:
    torch.manual_seed(0)
    sizes = LlamaConfig(
        vocab_size=257,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=128,
        bos_token_id=None,
        eos_token_id=END,
    )
    model = LlamaForCausalLM(sizes)
    return saved(tmp_path_factory.mktemp("llama") / "model", model, byte_tokenizer)


@pytest.fixture
def opened(configured: Configured) -> Iterator[Any]:
    """Opens a family on a folder; its engines are closed in the end."""
    families: list[Generation] = []

    async def opening(folder: Path, **fields: Any) -> Generation:
        families.append(await started(Generation(configured(folder, **fields))))
        return families[-1]

    yield opening
    for family in families:
        engine_of(family).close()


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Engines need no process of their own, which takes seconds to start."""

    def open_here(kind: EngineKind, folder: Path, settings: EngineSettings) -> Engine:
        return open_engine(kind, folder, replace(settings, own_process=False))

    monkeypatch.setattr("deployments.engine.engine_loader.open_engine", open_here)


def engine_of(family: Generation) -> Engine:
    return family._models.loaded[0].model


def weights_of(folder: Path) -> int:
    """Bytes of the float32 weights on disk."""
    return sum(file.stat().st_size for file in folder.glob("*.safetensors"))


async def generated(family: Generation, **fields: Any) -> GenerationResult:
    request = GenerationRequest("request", "tiny", **fields)
    answer = await asyncio.wait_for(family.generate(request), PATIENCE_S)
    assert isinstance(answer, GenerationResult)
    return answer


async def test_turns_are_joined_by_the_end_of_sequence(opened: Any, dialogue_folder: Path) -> None:
    family = await opened(dialogue_folder)
    turns = (
        ChatMessage("user", "Hello."),
        ChatMessage("assistant", "Hi!"),
        ChatMessage("user", "?"),
    )
    answer = await generated(family, messages=turns, max_new_tokens=8, sampling=GREEDY)
    model: Any = GPT2LMHeadModel.from_pretrained(dialogue_folder)
    prompt = [id_ for turn in turns for id_ in (*engine_of(family).codec.encode(turn.content), END)]
    ids = model.eval().generate(
        torch.tensor([prompt]), do_sample=False, max_new_tokens=8, pad_token_id=END
    )
    assert answer.prompt_tokens == len(prompt)
    assert answer.choices[0].text == engine_of(family).codec.decode(ids[0, len(prompt) :].tolist())


async def test_a_stream_says_what_the_whole_answer_says(opened: Any, dialogue_folder: Path) -> None:
    family = await opened(dialogue_folder)
    fields: dict[str, Any] = {"prompt": "Once", "max_new_tokens": 12, "choices": 2}
    whole = await generated(family, **fields, sampling=Sampling(seed=3))
    request = GenerationRequest("request", "tiny", **fields, sampling=Sampling(seed=3))
    texts = ["", ""]
    async with asyncio.timeout(PATIENCE_S):
        async for item in family.stream(request):
            assert isinstance(item, TokenChunk)
            for token in item.tokens:
                texts[token.choice] += token.text
    assert texts == [choice.text for choice in whole.choices]
    assert texts[0] != texts[1]


async def test_a_closed_stream_gives_its_slot_to_the_next(
    opened: Any, dialogue_folder: Path
) -> None:
    family = await opened(dialogue_folder)
    banned = Sampling(logit_bias={END: -100.0})
    request = GenerationRequest("request", "tiny", prompt="Once", sampling=banned)
    stream = family.stream(request)
    await asyncio.wait_for(anext(stream), PATIENCE_S)
    await stream.aclose()
    answer = await generated(family, prompt="Twice", max_new_tokens=2, sampling=banned)
    assert answer.choices[0].tokens == 2
    assert engine_of(family).load().running <= 1


@pytest.mark.usefixtures("in_this_process")
@pytest.mark.parametrize(
    ("dtype", "native", "share"),
    [("auto", False, 1.0), ("auto", True, 0.5), ("float32", True, 1.0), ("bfloat16", False, 0.5)],
)
async def test_the_profiles_dtype_reaches_the_weights(
    opened: Any,
    llama_folder: Path,
    dtype: str,
    native: bool,
    share: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("deployments.models.device.native_bfloat16", lambda: native)
    family = await opened(llama_folder, dtype=dtype)
    expected = weights_of(llama_folder) * share
    assert engine_of(family).load().memory_bytes == pytest.approx(expected, rel=0.05)


@pytest.mark.usefixtures("in_this_process")
async def test_quantised_weights_are_smaller_and_still_generate(
    opened: Any, llama_folder: Path, quantization: str
) -> None:
    whole, small = await opened(llama_folder), await opened(llama_folder, quantization=quantization)
    sizes = [engine_of(family).load().memory_bytes or 0 for family in (whole, small)]
    assert sizes[1] < 0.6 * sizes[0]
    ours, theirs = [
        await generated(
            family, prompt="Once", max_new_tokens=1, sampling=Sampling(0.0, logprobs=True)
        )
        for family in (small, whole)
    ]
    (one,), (other,) = ours.choices[0].logprobs, theirs.choices[0].logprobs
    assert one.logprob == pytest.approx(other.logprob, abs=0.5)
    assert one.logprob != other.logprob


REMOTE = """
from transformers import LlamaConfig, LlamaForCausalLM

class HouseConfig(LlamaConfig):
    model_type = "house"

class HouseForCausalLM(LlamaForCausalLM):
    config_class = HouseConfig
"""


@pytest.fixture
def foreign_folder(llama_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model that comes with code of its own."""
    monkeypatch.setattr(
        "transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules")
    )
    folder = Path(shutil.copytree(llama_folder, tmp_path / "house"))
    (folder / "house.py").write_text(REMOTE)
    config = json.loads((folder / "config.json").read_text())
    code = {"AutoConfig": "house.HouseConfig", "AutoModelForCausalLM": "house.HouseForCausalLM"}
    config |= {"model_type": "house", "architectures": ["HouseForCausalLM"], "auto_map": code}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.mark.usefixtures("in_this_process")
async def test_a_models_own_code_runs_where_the_profile_trusts_it(
    opened: Any, foreign_folder: Path
) -> None:
    family = await opened(foreign_folder, trust_remote_code=True)
    answer = await generated(family, prompt="Once", max_new_tokens=2, sampling=GREEDY)
    assert answer.choices[0].tokens > 0


@pytest.mark.usefixtures("in_this_process")
async def test_a_models_own_code_never_runs_otherwise(
    configured: Configured, foreign_folder: Path, tmp_path: Path
) -> None:
    (foreign_folder / "house.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()")
    family = Generation(configured(foreign_folder, pinned=False))
    answer = await family.generate(GenerationRequest("request", "tiny", prompt="Once"))
    assert isinstance(answer, Problem)
    assert answer.kind == "unavailable"
    assert not (tmp_path / "ran").exists()
