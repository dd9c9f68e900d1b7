"""Packed linear layers compute what the model's own did, and leave alone what is not plain."""

from __future__ import annotations

import weakref
from typing import Any

import pytest
import torch
from torch import nn
from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig
from transformers.pytorch_utils import Conv1D

from deployments.engine.kv_budget import weight_bytes
from deployments.engine.prepacked_linear import (
    PrepackedLinear,
    filled_up,
    prepack,
    prepacked_bytes,
)

LLAMA = LlamaConfig(
    vocab_size=97,
    hidden_size=32,
    intermediate_size=48,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
)
GPT2 = GPT2Config(vocab_size=97, n_embd=32, n_layer=2, n_head=4, n_positions=64)
IDS = torch.arange(24).reshape(3, 8) % 97


def random_model(config: Any, dtype: torch.dtype = torch.float32) -> Any:
    torch.manual_seed(0)
    model: Any = AutoModelForCausalLM
    return model.from_config(config, dtype=dtype).eval()


@torch.no_grad()
def logits(model: Any) -> torch.Tensor:
    found: torch.Tensor = model(IDS).logits
    return found


@pytest.mark.parametrize(("config", "layers"), [(LLAMA, 2 * 7 + 1), (GPT2, 2 * 4 + 1)])
def test_a_model_of_packed_layers_has_the_same_logits(config: Any, layers: int) -> None:
    model = random_model(config)
    before = logits(model)
    assert prepack(model) == layers
    assert not [each for each in model.modules() if isinstance(each, nn.Linear | Conv1D)]
    torch.testing.assert_close(logits(model), before, rtol=1e-4, atol=1e-4)
    assert prepack(model) == 0


def test_tied_embeddings_stay_beside_the_packed_copy_and_all_others_are_freed() -> None:
    model = random_model(GPT2)  # whose head has the weights of its embeddings
    head = model.lm_head.weight
    total, tied = weight_bytes(model), head.numel() * head.element_size()
    prepack(model)
    assert model.get_input_embeddings().weight is head
    torch.testing.assert_close(model.lm_head.weight, head)
    assert weight_bytes(model) == total + tied
    assert prepacked_bytes(model) > tied


def test_few_numbers_of_rows_are_computed_and_little_more_than_asked() -> None:
    numbers = range(1, 513)
    assert len({filled_up(rows) for rows in numbers}) <= 56
    assert all(rows <= filled_up(rows) <= rows * 9 / 8 for rows in numbers)
    assert [filled_up(rows) for rows in (0, *range(1, 16))] == list(range(16))


def test_every_number_of_rows_has_the_same_result() -> None:
    torch.manual_seed(0)
    model, x = nn.Sequential(nn.Linear(32, 10)), torch.randn(150, 32)
    with torch.inference_mode():
        expected = model(x)
        prepack(model)
        for rows in range(1, 150):
            torch.testing.assert_close(model(x[:rows]), expected[:rows], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shape", [(0, 32), (1, 32), (2, 3, 32), (5, 7, 32), (600, 32)])
@pytest.mark.parametrize("bias", [True, False])
def test_inputs_of_every_shape(shape: tuple[int, ...], bias: bool) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(32, 10, bias=bias))
    x = torch.randn(shape)
    with torch.inference_mode():
        expected = model(x)
        assert prepack(model) == 1
        torch.testing.assert_close(model(x), expected, rtol=1e-4, atol=1e-5)


def test_an_input_whose_memory_is_in_another_order() -> None:
    torch.manual_seed(0)
    model, x = nn.Sequential(nn.Linear(32, 10)), torch.randn(32, 7).t()
    with torch.inference_mode():
        expected = model(x)
        prepack(model)
        torch.testing.assert_close(model(x), expected, rtol=1e-4, atol=1e-5)


def test_a_layer_that_two_modules_share_is_packed_once() -> None:
    shared = nn.Linear(8, 8)
    one, two = nn.Sequential(shared), nn.Sequential(shared)
    assert prepack(nn.ModuleList([one, two])) == 1
    assert one[0] is two[0]


def test_each_layer_is_freed_before_the_next_is_packed(monkeypatch: pytest.MonkeyPatch) -> None:
    model = nn.Sequential(*(nn.Linear(8, 8) for _ in range(3)))
    weights = [weakref.ref(layer.weight) for layer in model]
    alive: list[int] = []
    pack = PrepackedLinear.__init__

    def counted(self: PrepackedLinear, weight: torch.Tensor, bias: nn.Parameter | None) -> None:
        alive.append(sum(each() is not None for each in weights))
        pack(self, weight, bias)

    monkeypatch.setattr(PrepackedLinear, "__init__", counted)
    prepack(model)
    assert alive == [3, 2, 1]


class Scaled(nn.Linear):
    """A linear layer that computes something else."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:  # noqa: A002 - its name in torch
        return 2 * super().forward(input)


def test_layers_that_are_not_plain_stay() -> None:
    hooked = nn.Linear(8, 8)
    hooked.register_forward_hook(lambda module, args, output: output + 1)
    model = nn.ModuleDict(
        {
            "of_halves": nn.Linear(8, 8, dtype=torch.bfloat16),
            "scaled": Scaled(8, 8),
            "hooked": hooked,
        }
    )
    assert prepack(model) == 0
    assert not [each for each in model.modules() if isinstance(each, PrepackedLinear)]


def test_nothing_is_packed_where_torch_does_not_compute_by_mkl(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.backends.mkl, "is_available", lambda: False)
    assert prepack(random_model(LLAMA)) == 0


def test_a_torch_without_the_operators_keeps_its_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object) -> torch.Tensor:
        raise AttributeError("no such operator")

    monkeypatch.setattr(PrepackedLinear, "forward", missing)
    model = random_model(LLAMA)
    before = logits(model)
    assert prepack(model) == 0
    torch.testing.assert_close(logits(model), before)
