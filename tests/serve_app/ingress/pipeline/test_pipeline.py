"""The plan: everything that can be wrong with a graph is found before anything runs."""

from __future__ import annotations

from typing import Any

import pytest

from serve_app.ingress.errors import ValidationFailed
from serve_app.ingress.pipeline.budget import DataBudget
from serve_app.ingress.pipeline.pipeline import Pipeline, build_pipeline
from serve_app.ingress.pipeline.references import ReferenceLimits
from serve_app.ingress.pipeline.steps import StepBuilder, StepRequest
from serve_app.ingress.validation.fields import Body, Texts


class ReadBody(Body):
    texts: Texts
    careful: bool = False
    model_name: str | None = None


class ReadTask:
    name = "read"
    body = ReadBody


TASKS = {"read": ReadTask()}


def barred(task: Any, model: str | None) -> str | None:
    return None if model in (None, "house/reader") else f"no {model!r}"


def plan(
    *steps: StepRequest,
    given: dict[str, Any] | None = None,
    outputs: list[str] | None = None,
    depth: int = 16,
    max_bytes: int = 10**6,
) -> Pipeline:
    ids = frozenset(step.id for step in steps)
    limits = ReferenceLimits(1000, depth)
    builder = StepBuilder(ids, given or {}, DataBudget(max_bytes), barred, limits)
    return build_pipeline(steps, outputs, TASKS, builder)


def read(name: str, texts: Any, **more: Any) -> StepRequest:
    return StepRequest(name, "read", {"texts": texts, **more})


def faults(*steps: StepRequest, **more: Any) -> dict[str, str]:
    with pytest.raises(ValidationFailed) as refused:
        plan(*steps, **more)
    found: dict[str, str] = refused.value.details["field_errors"]
    return found


def test_steps_keep_their_order_and_know_what_they_need() -> None:
    made = plan(read("c", ["$a.x", "${b.y} and $$5"]), read("a", "x"), read("b", "$a.z"))
    assert [(step.id, step.needs) for step in made.steps] == [
        ("c", ("a", "b")),
        ("a", ()),
        ("b", ("a",)),
    ]


def test_the_outputs_are_the_ends_of_the_graph_unless_given() -> None:
    steps = (read("a", "x"), read("b", "$a.x"), read("c", "$a.x"))
    assert plan(*steps).outputs == ("b", "c")
    assert plan(*steps, outputs=["a", "b", "a"]).outputs == ("a", "b")
    assert plan(*steps, outputs=[]).outputs == ()


def test_what_needs_no_other_step_is_validated_at_once_with_the_input() -> None:
    (step,) = plan(read("a", ["$input.word", "b"]), given={"word": "c"}).steps
    assert step.body == ReadBody(texts=["c", "b"])


def test_a_model_beside_the_inputs_is_one_of_them() -> None:
    (step,) = plan(StepRequest("a", "read", {"texts": "x"}, "house/reader")).steps
    assert step.body == ReadBody(texts="x", model_name="house/reader")


@pytest.mark.parametrize(
    ("step", "field"),
    [
        (read("a", 7), "steps.1.inputs.texts"),
        (read("a", "$input.number"), "steps.1.inputs.texts"),
        (read("a", "$ok.x", careful="yes"), "steps.1.inputs.careful"),
        (read("a", "x", labls=["y"]), "steps.1.inputs.labls"),
        (read("a", "x", labls="$ok.x"), "steps.1.inputs.labls"),
        (StepRequest("a", "read", {"careful": True}), "steps.1.inputs.texts"),
        (StepRequest("a", "read", {"careful": "$ok.x"}), "steps.1.inputs.texts"),
        (read("a", "$gone.x"), "steps.1.inputs.texts"),
        (read("a", ["x", {"y": "in ${gone.x}"}]), "steps.1.inputs.texts"),
        (read("a", "$input.gone"), "steps.1.inputs.texts"),
        (read("a", "list: ${input.list}"), "steps.1.inputs.texts"),
        (read("a", "just $5"), "steps.1.inputs.texts"),
        (StepRequest("a", "write", {"texts": "x"}), "steps.1.task"),
        (StepRequest("a", "read", {"texts": "x"}, "house/writer"), "steps.1.model_name"),
        (read("a", "x", model_name="house/writer"), "steps.1.inputs.model_name"),
        (read("a", "x", model_name="$ok.name"), "steps.1.inputs.model_name"),
        (
            StepRequest("a", "read", {"texts": "x", "model_name": "house/reader"}, "house/reader"),
            "steps.1.inputs.model_name",
        ),
        (read("ok", "x"), "steps.1.id"),
        (read("input", "x"), "steps.1.id"),
        (read("a", "$a.x"), "steps.1"),
    ],
)
def test_a_fault_names_its_step_and_field(step: StepRequest, field: str) -> None:
    given = {"number": 7, "list": [1]}
    assert set(faults(read("ok", "x"), step, given=given)) == {field}


def test_all_faults_are_named_at_once() -> None:
    found = faults(read("a", "$gone.x"), read("b", 7), read("c", "x", careful=3))
    assert set(found) == {
        "steps.0.inputs.texts",
        "steps.1.inputs.texts",
        "steps.2.inputs.careful",
    }


def test_a_circle_names_its_steps_and_no_other() -> None:
    found = faults(
        read("a", "$c.x"), read("b", "$a.x"), read("c", "$b.x"), read("d", "$a.x"), read("e", "x")
    )
    assert set(found) == {"steps.0", "steps.1", "steps.2"}
    assert "a -> " in found["steps.0"]


def test_an_output_must_be_a_step() -> None:
    assert set(faults(read("a", "x"), outputs=["a", "b"])) == {"outputs.1"}


def test_a_reference_may_have_only_so_many_names() -> None:
    given = {"a": {"b": {"c": "deep"}}}
    assert plan(read("s", "$input.a.b.c"), given=given, depth=4).steps[0].body
    assert "4 names" in str(faults(read("s", "$input.a.b.c"), given=given, depth=3))


def test_an_input_that_is_used_too_often_is_refused_before_anything_runs() -> None:
    given = {"text": "x" * 1000}
    found = faults(read("a", ["$input.text"] * 20), given=given, max_bytes=10_000)
    assert "10000 bytes" in found["steps.0.inputs.texts"]


def test_a_thousand_faults_make_a_short_answer() -> None:
    assert len(faults(*(read(f"s{i}", 7) for i in range(1000)))) == 20


def test_a_step_has_one_fault_an_input_however_many_references_dangle() -> None:
    found = faults(read("a", [f"$none{i}.x" for i in range(50)], careful="$input.missing"))
    assert set(found) == {"steps.0.inputs.texts", "steps.0.inputs.careful"}
    assert found["steps.0.inputs.texts"] == "there is no step 'none0'"


def test_what_steps_that_wait_take_of_the_input_is_bounded_together() -> None:
    first = read("first", "x")
    waiting = [read(f"s{i}", "$input.long", careful="$first.x") for i in range(3)]
    given = {"long": "x" * 400}
    plan(first, *waiting, given=given, max_bytes=1300)
    assert set(faults(first, *waiting, given=given, max_bytes=1000)) == {"steps.3.inputs.texts"}
