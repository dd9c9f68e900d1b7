"""Zero-shot labels of settings and requests."""

from __future__ import annotations

import pytest
from pydantic import TypeAdapter, ValidationError

from configs.errors import ConfigError
from configs.labels import DEFAULT_TOPICS, MAX_LABELS, ZeroShotLabels
from configs.settings import resolve

LABELS: TypeAdapter[list[str]] = TypeAdapter(ZeroShotLabels)


def test_labels_are_kept_as_they_are_in_their_order() -> None:
    assert LABELS.validate_python(["b", " a ", "ü"]) == ["b", " a ", "ü"]


@pytest.mark.parametrize(
    "labels",
    [[], [""], [" "], ["x" * 257], ["a", "b", "a"], [str(i) for i in range(MAX_LABELS + 1)]],
)
def test_labels_out_of_bounds_are_refused(labels: list[str]) -> None:
    with pytest.raises(ValidationError):
        LABELS.validate_python(labels)


def test_topics_have_a_default_and_may_be_set() -> None:
    assert resolve({}, "test").topics == DEFAULT_TOPICS
    assert resolve({"topics": ["cats", "dogs"]}, "test").topics == ("cats", "dogs")


@pytest.mark.parametrize("topics", [[], ["a", "a"], [""]])
def test_topics_out_of_bounds_are_named(topics: list[str]) -> None:
    with pytest.raises(ConfigError, match="topics"):
        resolve({"topics": topics}, "test")
