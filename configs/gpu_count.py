"""Checks that the first replicas of all families find room on the GPUs that there are."""

from __future__ import annotations

from collections.abc import Iterator

from configs.options import DeploymentOptions
from configs.profile import Profile

SMALLEST = 1e-4
"""Ray counts GPUs in steps of this size."""


def too_many(profile: Profile) -> Iterator[str]:
    """A message if the first replicas do not fit the GPUs of the profile (``gpus``) together.

    The memory of each GPU then suffices too, since the models of each replica fit its fraction.
    """
    if profile.gpus is None or (needed := gpus_needed(profile)) <= profile.gpus:
        return
    fractions = " + ".join(
        f"{family.name} {replicas} x {gpus:g}" if replicas > 1 else f"{family.name} {gpus:g}"
        for family in profile.families
        if (gpus := family.options.ray_actor_options.num_gpus)
        and (replicas := first_replicas(family.options))
    )
    yield f"gpus: expected at least {needed}, since the families ask for {fractions}"


def unknown_count(profile: Profile) -> Iterator[str]:
    """A note if the profile asks for GPUs and does not say how many there are."""
    if profile.gpus is None and (needed := gpus_needed(profile)):
        yield f"gpus: not set; the first replicas of all families need {needed} together"


def gpus_needed(profile: Profile) -> int:
    """How many GPUs hold the first replicas of all families, the largest placed first.

    A fraction is never split over two GPUs.
    """
    free: list[float] = []
    whole = 0
    for gpus in sorted(_requests(profile), reverse=True):
        if gpus >= 1:
            whole += int(gpus)
            continue
        place = next((i for i, room in enumerate(free) if room > gpus - SMALLEST / 2), None)
        if place is None:
            free.append(1.0 - gpus)
        else:
            free[place] -= gpus
    return whole + len(free)


def first_replicas(options: DeploymentOptions) -> int:
    """How many replicas a deployment starts with, or one if it sleeps until it is called."""
    if (scaling := options.scaling) is None:
        return options.num_replicas if isinstance(options.num_replicas, int) else 1
    return max(1, scaling.min_replicas, scaling.initial_replicas or 0)


def _requests(profile: Profile) -> Iterator[float]:
    for family in profile.families:
        if gpus := family.options.ray_actor_options.num_gpus:
            yield from [gpus] * first_replicas(family.options)
