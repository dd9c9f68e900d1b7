"""A profile names only dtypes that the model's engine, and the processor, can compute in."""

from __future__ import annotations

from typing import Any, Literal

import pytest

from configs.dtype_rules import broken_dtype
from configs.profile import ModelSpec


@pytest.fixture(autouse=True)
def _native(monkeypatch: pytest.MonkeyPatch) -> None:
    on_processor(monkeypatch, native=True)


def on_processor(monkeypatch: pytest.MonkeyPatch, *, native: bool) -> None:
    monkeypatch.setattr("configs.dtype_rules.native_bfloat16", lambda: native)
    monkeypatch.setattr("configs.dtype_rules.processor_name", lambda: "Old Core")


def problems(nodes: Literal["one", "many"] = "one", **fields: Any) -> list[str]:
    given = {"name": "house/any", "tasks": ["generate"], "source": {"folder": "x"}, **fields}
    return list(broken_dtype(ModelSpec.model_validate(given), nodes))


@pytest.mark.parametrize("dtype", ["auto", "float32", "bfloat16", "dynamic-int8"])
def test_a_text_generator_on_openvino_has_dtypes_of_its_own(dtype: str) -> None:
    assert problems(engine="openvino", dtype=dtype) == []


def test_openvino_generates_in_no_float16() -> None:
    (problem,) = problems(engine="openvino", dtype="float16")
    assert problem.startswith("dtype: expected auto, float32, bfloat16, dynamic-int8 ")


@pytest.mark.parametrize("engine", ["torch", "auto"])
def test_the_torch_engine_has_no_dynamic_int8_and_the_message_says_which_has(engine: str) -> None:
    (problem,) = problems(engine=engine, dtype="dynamic-int8")
    assert "the openvino engine has it" in problem
    assert problems(engine=engine, dtype="float16") == []


@pytest.mark.parametrize("tasks", [["embed"], ["caption"]])
def test_only_text_generators_compute_in_dynamic_int8(tasks: list[str]) -> None:
    assert [each.partition(":")[0] for each in problems(tasks=tasks, dtype="dynamic-int8")] == [
        "dtype"
    ]


def test_bfloat16_is_refused_where_the_only_machine_has_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    on_processor(monkeypatch, native=False)
    (problem,) = problems(engine="openvino", dtype="bfloat16")
    assert "Old Core has no bfloat16 arithmetic" in problem
    assert problems("many", engine="openvino", dtype="bfloat16") == []
    assert problems(engine="torch", dtype="bfloat16") == []
    assert problems(engine="openvino", dtype="auto") == []
