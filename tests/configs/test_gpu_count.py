"""How many GPUs the first replicas of a profile need."""

from __future__ import annotations

from typing import Any

import pytest

from configs.gpu_count import gpus_needed, unknown_count
from configs.profile import Profile, load_settings
from configs.rules import broken_rules


def profile(*fractions: float, gpus: int | None = None, **options: Any) -> Profile:
    """A family for each fraction; ``options`` are those of the first one."""
    families = [
        {
            "name": f"family_{index}",
            "deployment": "deployments.embeddings:Embeddings",
            "options": {
                "ray_actor_options": {"num_gpus": fraction},
                **(options if index == 0 else {}),
            },
        }
        for index, fraction in enumerate(fractions)
    ]
    return Profile.model_validate({"name": "sized", "gpus": gpus, "families": families})


@pytest.mark.parametrize(
    ("fractions", "needed"),
    [
        ((), 0),
        ((0.0, 0.0), 0),
        ((0.5, 0.25, 0.25), 1),
        ((0.1,) * 10, 1),
        ((0.5, 0.25, 0.26), 2),
        ((0.6, 0.6, 0.6), 3),
        ((0.3, 0.7, 0.6, 0.4), 2),
        ((1, 2, 0.5), 4),
    ],
)
def test_a_fraction_is_never_split_over_two_gpus(fractions: tuple[float, ...], needed: int) -> None:
    assert gpus_needed(profile(0.0, *fractions)) == needed


@pytest.mark.parametrize(
    ("options", "needed"),
    [
        ({"num_replicas": 3}, 2),
        ({"num_replicas": "auto"}, 1),
        ({"autoscaling_config": {"min_replicas": 2, "max_replicas": 8}}, 1),
        ({"autoscaling_config": {"min_replicas": 3, "max_replicas": 8}}, 2),
        ({"autoscaling_config": {"initial_replicas": 4, "max_replicas": 8}}, 2),
        ({"autoscaling_config": {"min_replicas": 0, "max_replicas": 8}}, 1),
    ],
)
def test_the_first_replicas_count_and_one_of_a_family_that_sleeps(
    options: dict[str, Any], needed: int
) -> None:
    assert gpus_needed(profile(0.5, **options)) == needed


def problems(made: Profile) -> list[str]:
    found = broken_rules(made, load_settings(made))
    return [each for each in found if each.startswith("gpus")]


def test_families_that_need_more_gpus_than_there_are_get_refused() -> None:
    assert problems(profile(0.5, 0.5, gpus=1)) == []
    assert problems(profile(0.5, 0.75, num_replicas=3, gpus=3)) == []
    (problem,) = problems(profile(0.5, 0.75, num_replicas=3, gpus=2))
    assert problem == (
        "gpus: expected at least 3, since the families ask for family_0 3 x 0.5 + family_1 0.75"
    )


def test_without_a_number_of_gpus_the_number_needed_is_noted() -> None:
    assert problems(profile(0.5, 0.75)) == []
    (note,) = unknown_count(profile(0.5, 0.75))
    assert note == "gpus: not set; the first replicas of all families need 2 together"
    assert list(unknown_count(profile(0.0))) == list(unknown_count(profile(0.5, gpus=1))) == []
