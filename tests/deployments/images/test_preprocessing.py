"""A processor's failure is blamed on the image or the text, or raised where neither is at fault."""

from __future__ import annotations

from typing import Any

import pytest
from PIL import Image

from deployments.images.preprocessing import CONTROL, CONTROL_TEXT, preprocessed
from deployments.seam.captioning import CaptionRequest
from deployments.seam.problems import Problem
from deployments.seam.vision import DetectionRequest, VisualQuestionRequest

LONG = Image.new("RGB", (2000, 100))
QUESTION = VisualQuestionRequest("tiny", b"", "what color is it?")


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
    def preprocess(image: Image.Image, request: Any) -> str:
        if max(image.size) > 1000:
            raise error
        return "preprocessed"

    assert preprocessed(preprocess, CONTROL, QUESTION) == "preprocessed"
    problem = preprocessed(preprocess, LONG, QUESTION)
    assert isinstance(problem, Problem)
    assert (problem.kind, problem.field) == ("validation", "image")
    assert "2000 x 100" in problem.message
    assert str(error) == "" or str(error) not in problem.message


@pytest.mark.parametrize(
    ("question", "field"),
    [(QUESTION, "question"), (CaptionRequest("tiny", b"", prompt="<image>"), "prompt")],
)
def test_a_text_that_a_processor_fails_for_is_at_fault(question: Any, field: str) -> None:
    def preprocess(image: Image.Image, given: Any) -> str:
        if getattr(given, field) != CONTROL_TEXT:
            raise ValueError("1 image for 2 tokens")
        return "preprocessed"

    problem = preprocessed(preprocess, LONG, question)
    assert isinstance(problem, Problem)
    assert (problem.kind, problem.field) == ("validation", field)


@pytest.mark.parametrize(
    "error",
    [ValueError("of a broken model"), AttributeError("no such thing"), NotImplementedError()],
)
@pytest.mark.parametrize(
    "question", [QUESTION, DetectionRequest("tiny", b""), CaptionRequest("t", b"")]
)
def test_a_processor_that_fails_for_everything_is_not_the_clients_fault(
    error: Exception, question: Any
) -> None:
    def preprocess(image: Image.Image, given: Any) -> str:
        raise error

    with pytest.raises(type(error)):
        preprocessed(preprocess, LONG, question)


@pytest.mark.parametrize("error", [AttributeError("x"), KeyError("x"), NameError("x")])
def test_a_mistake_in_the_code_is_not_disguised_as_a_bad_image(error: Exception) -> None:
    def preprocess(image: Image.Image, given: Any) -> str:
        if image is LONG:
            raise error
        return "preprocessed"

    with pytest.raises(type(error)):
        preprocessed(preprocess, LONG, QUESTION)
