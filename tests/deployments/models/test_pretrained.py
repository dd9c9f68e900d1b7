"""How weights come from a folder onto a device."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from deployments.models.pretrained import load_model, load_options, load_pretrained
from tests.deployments.models.devices import Sight, config, model


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_weights_are_safe_local_and_trusted_only_when_the_profile_says_so(sees: Sight) -> None:
    sees(bfloat16=False)
    options = load_options(config(), model(), "cpu")
    assert options == {
        "dtype": torch.float32,
        "trust_remote_code": False,
        "use_safetensors": True,
        "local_files_only": True,
    }
    assert load_options(config(), model(trust_remote_code=True), "cpu")["trust_remote_code"]


def test_quantization_by_setting_is_for_cuda(sees: Sight) -> None:
    sees(cuda=True)
    options = load_options(config(use_quantization=True), model(), "cuda")
    assert options["quantization_config"].load_in_4bit


def test_quantization_by_setting_is_ignored_elsewhere_and_said_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING, "deployments.models.pretrained"):
        options = load_options(config(use_quantization=True), model(), "cpu")
    assert "quantization_config" not in options
    assert "house/model is loaded unquantised" in caplog.text


def test_int8_is_what_the_profile_asks_for() -> None:
    asked = load_options(config(), model(quantization="int8"), "cpu")["quantization_config"]
    assert asked.load_in_8bit
    assert not asked.load_in_4bit


@pytest.mark.parametrize(
    ("dtype", "computed"), [("float32", torch.float32), ("float16", torch.float16)]
)
def test_nf4_is_double_quantised_and_computes_in_the_models_dtype(
    dtype: str, computed: torch.dtype
) -> None:
    spec = model(quantization="nf4", dtype=dtype)
    asked = load_options(config(), spec, "cpu")["quantization_config"]
    assert asked.load_in_4bit
    assert asked.bnb_4bit_quant_type == "nf4"
    assert asked.bnb_4bit_use_double_quant
    assert asked.bnb_4bit_compute_dtype is computed


def test_an_explicit_quantization_outranks_the_setting(sees: Sight) -> None:
    sees(cuda=True)
    spec = model(quantization="int8")
    asked = load_options(config(use_quantization=True), spec, "cuda")["quantization_config"]
    assert asked.load_in_8bit


def test_quantized_weights_go_to_the_chosen_device_though_there_is_a_gpu(sees: Sight) -> None:
    sees(cuda=True)
    options = load_options(config(device="cpu"), model(quantization="nf4"), "cpu")
    assert options["device_map"] == {"": "cpu"}


@pytest.mark.parametrize("device", ["cuda", "mps"])
def test_off_the_cpu_weights_go_straight_to_the_device(sees: Sight, device: str) -> None:
    sees(cuda=True)
    assert load_options(config(), model(), device)["device_map"] == {"": device}
    assert "device_map" not in load_options(config(), model(), "cpu")


def test_a_model_is_loaded_ready_to_answer(classifier_folder: Path) -> None:
    found, device = load_model(
        "AutoModelForSequenceClassification",
        classifier_folder,
        config(device="cpu", threads=1),
        model(dtype="bfloat16"),
    )
    assert device == "cpu"
    assert not found.training
    assert {weight.dtype for weight in found.parameters()} == {torch.bfloat16}


def test_weights_that_go_straight_to_a_device_are_the_same(classifier_folder: Path) -> None:
    options = load_options(config(), model(dtype="float32"), "cpu")
    placed = options | {"device_map": {"": "cpu"}}
    name = "AutoModelForSequenceClassification"
    ours = load_pretrained(name, classifier_folder, "cpu", placed).state_dict()
    theirs = load_pretrained(name, classifier_folder, "cpu", options).state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)
