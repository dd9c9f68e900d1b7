"""Rules about memory: the models of a family fit in what its replicas have of a GPU."""

from __future__ import annotations

import random
from typing import Any

import pytest

from configs.gpu_memory import CUDA_CONTEXT_GB
from tests.configs.profile_changes import broken, family, model, model_with


def test_models_on_demand_make_room_for_each_other_but_pinned_ones_do_not(
    sound: dict[str, Any],
) -> None:
    beside = 12 - CUDA_CONTEXT_GB - model(sound, 1)["memory_gb"]
    for name in ("house/spare", "house/other"):
        spare = {**model(sound, 1), "name": name, "pinned": False, "memory_gb": beside}
        family(sound, 1)["models"].append(spare)
    assert broken(sound) == []
    spare["memory_gb"] = beside + 0.1
    (problem,) = broken(sound)
    assert problem.startswith("families.embeddings.models.house/other: expected to fit beside")
    assert "they take 2.0 GB, and 0.5 of 24 GB is 12.0 GB" in problem


def test_a_model_on_demand_that_never_fits_is_told(sound: dict[str, Any]) -> None:
    spare = {**model(sound, 1), "name": "house/spare", "pinned": False, "memory_gb": 11.6}
    family(sound, 1)["models"].append(spare)
    (problem,) = broken(sound)
    assert problem.startswith("families.embeddings.models.house/spare: expected to fit")
    assert "it takes 12.1 GB and 0.5 of 24 GB is 12.0 GB" in problem


@pytest.mark.parametrize("gpus", [1, 2, 8])
def test_more_gpus_hold_no_larger_model(sound: dict[str, Any], gpus: int) -> None:
    family(sound, 1)["options"] = {"ray_actor_options": {"num_gpus": gpus}}
    model_with(1, memory_gb=24 - CUDA_CONTEXT_GB)(sound)
    assert broken(sound) == []
    model_with(1, memory_gb=24)(sound)
    (problem,) = broken(sound)
    assert "expected room for 24.5 GB of pinned models, but 1 of 24 GB is 24.0 GB" in problem
    assert ("a model lives on one GPU" in problem) is (gpus > 1)


def test_every_pinned_model_of_a_family_takes_room(sound: dict[str, Any]) -> None:
    family(sound, 1)["models"].append({**model(sound, 1), "name": "house/second", "memory_gb": 9.6})
    (problem,) = broken(sound)
    assert "expected room for 12.1 GB" in problem
    assert "0.5 of 24 GB is 12.0 GB" in problem


def test_replicas_that_share_a_gpu_fit_its_memory(sound: dict[str, Any]) -> None:
    """Ray puts replicas on one GPU as long as their fractions add up to at most 1."""
    draw = random.Random(7)
    verdicts = set()
    for _ in range(300):
        share = draw.choice([0.1, 0.25, 0.5, 0.75, 0.9])
        memories = [draw.uniform(0.1, 24), draw.uniform(0.1, 24)]
        for index, fraction in enumerate((share, 1 - share)):
            actor = {"num_gpus": fraction}
            family(sound, index)["options"] = {"ray_actor_options": actor}
            model_with(index, memory_gb=memories[index])(sound)
        accepted = not broken(sound)
        verdicts.add(accepted)
        assert not accepted or sum(memories) + 2 * CUDA_CONTEXT_GB <= 24
    assert verdicts == {True, False}
