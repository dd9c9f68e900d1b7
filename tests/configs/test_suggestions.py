"""Suggestions of the word that was probably meant."""

from __future__ import annotations

import pytest
from pydantic import BaseModel

from configs.profile import Profile
from configs.suggestions import closest, hint, keys_at


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("famlies", "families"),
        ("max-batch-size", "max_batch_size"),
        ("Max_Batch_Sise", "max_batch_size"),
        ("poetry", None),
    ],
)
def test_the_closest_word_is_the_one_meant_if_any_is_close(word: str, meant: str | None) -> None:
    assert closest(word, ["families", "max_batch_size", "name"]) == meant


def test_without_a_close_word_those_known_are_listed_unless_they_are_many() -> None:
    assert hint("zzz", ["b", "a"]) == "expected one of a, b"
    assert hint("zzz", map(str, range(100))) == ""
    assert hint("zzz", []) == ""


def test_keys_are_those_of_the_place_of_the_error() -> None:
    models = ("families", 0, "models", 1)
    assert "gpu_memory_gb" in keys_at(Profile, ("famlies",))
    assert "quantization" in keys_at(Profile, (*models, "sauce"))
    assert keys_at(Profile, (*models, "source", "folder", "foldr")) == {
        "folder",
        "allow_bin",
        "convert",
    }
    assert "look_back" not in keys_at(Profile, ("ingress", "look_back"))


def test_a_model_in_an_optional_list_is_found() -> None:
    class Leaf(BaseModel):
        colour: str

    class Tree(BaseModel):
        leaves: list[Leaf] | None = None

    assert keys_at(Tree, ("leaves", 3, "color")) == {"colour"}
