"""Whose fault it is that a processor fails: the image's, the text's, or nobody's who asked."""

from __future__ import annotations

from typing import Any

import pytest
from PIL import Image

from deployments.images.preprocessing import CONTROL, CONTROL_TEXT, preprocessed
from deployments.seam.captioning import CaptionRequest
from deployments.seam.problems import Problem
from deployments.seam.vision import DetectionRequest, VisualQuestionRequest

LONG = Image.new("RGB", (2000, 100))
ASKED = VisualQuestionRequest("tiny", b"", "what color is it?")


@pytest.mark.parametrize(
    "error",
    [
        ValueError("height and width must be > 0"),
        ZeroDivisionError(),
        IndexError("list index out of range"),
        RuntimeError("shape '[0, 3]' is invalid"),
        TypeError("Cannot handle this data type: (1, 1, 0)"),
        MemoryError(),
    ],
)
def test_an_image_that_a_processor_fails_for_is_at_fault(error: Exception) -> None:
    def see(shown: Image.Image, asked: Any) -> str:
        if max(shown.size) > 1000:
            raise error
        return "seen"

    assert preprocessed(see, CONTROL, ASKED) == "seen"
    problem = preprocessed(see, LONG, ASKED)
    assert isinstance(problem, Problem)
    assert (problem.kind, problem.field) == ("validation", "image")
    assert "2000 x 100" in problem.message
    assert str(error) == "" or str(error) not in problem.message


@pytest.mark.parametrize(
    ("asked", "field"),
    [(ASKED, "question"), (CaptionRequest("tiny", b"", prompt="<image>"), "prompt")],
)
def test_a_text_that_a_processor_fails_for_is_at_fault(asked: Any, field: str) -> None:
    def see(shown: Image.Image, given: Any) -> str:
        if getattr(given, field) != CONTROL_TEXT:
            raise ValueError("1 image for 2 marks")
        return "seen"

    problem = preprocessed(see, LONG, asked)
    assert isinstance(problem, Problem)
    assert (problem.kind, problem.field) == ("validation", field)


@pytest.mark.parametrize(
    "error",
    [ValueError("of a broken model"), AttributeError("no such thing"), NotImplementedError()],
)
@pytest.mark.parametrize("asked", [ASKED, DetectionRequest("tiny", b""), CaptionRequest("t", b"")])
def test_a_processor_that_fails_for_everything_is_not_the_clients_fault(
    error: Exception, asked: Any
) -> None:
    def see(shown: Image.Image, given: Any) -> str:
        raise error

    with pytest.raises(type(error)):
        preprocessed(see, LONG, asked)


@pytest.mark.parametrize("error", [AttributeError("x"), KeyError("x"), NameError("x")])
def test_a_mistake_in_the_code_is_not_disguised_as_a_bad_image(error: Exception) -> None:
    def see(shown: Image.Image, given: Any) -> str:
        if shown is LONG:
            raise error
        return "seen"

    with pytest.raises(type(error)):
        preprocessed(see, LONG, ASKED)
