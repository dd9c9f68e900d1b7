"""The profiles of the model hub serve all that the embedded one does, and every other task."""

from __future__ import annotations

from pathlib import Path

import pytest

import configs
from configs.gpu_count import first_replicas, gpus_needed
from configs.profile import Profile, load_settings
from configs.profile_file import load_profile
from configs.weights import HubSource
from serve_app.ingress.catalog import Catalog
from serve_app.registry.task_names import all_tasks

SHIPPED = {file.stem for file in Path(configs.__file__).parent.glob("*.yaml")}
FROM_THE_HUB = sorted(SHIPPED - {"embedded"})

BY_ZERO_SHOT = {"topic"}
"""Tasks whose routes a zero-shot model answers where no model has them."""

NAMED_BY_PRSM = {
    "generate": "microsoft/DialoGPT-medium",
    "chat": "microsoft/DialoGPT-medium",
    "embed": "sentence-transformers/all-MiniLM-L6-v2",
    "sentiment": "cardiffnlp/twitter-roberta-base-sentiment-latest",
}
"""Each is the default of its task."""


@pytest.fixture(params=FROM_THE_HUB)
def profile(request: pytest.FixtureRequest) -> Profile:
    return load_profile(request.param)


def routers(profile: Profile) -> set[str]:
    return {path for family in profile.families for path in family.routers}


def classes(profile: Profile) -> set[str]:
    return {family.deployment for family in profile.families}


def tasks(profile: Profile) -> set[str]:
    return {task for model in profile.models for task in model.tasks}


def test_each_of_them_is_known_here() -> None:
    assert FROM_THE_HUB == ["gpu", "hub"]


def test_every_family_and_route_of_the_embedded_profile_is_there(profile: Profile) -> None:
    embedded = load_profile("embedded")
    assert classes(profile) >= classes(embedded)
    assert routers(profile) >= routers(embedded)


def test_every_task_has_a_model(profile: Profile) -> None:
    assert {task.name for task in all_tasks()} - tasks(profile) <= BY_ZERO_SHOT


async def test_the_models_that_prsm_names_are_the_defaults(profile: Profile) -> None:
    catalog = Catalog(profile, load_settings(profile))
    for task, name in NAMED_BY_PRSM.items():
        assert (await catalog.resolve(task, None)).name == name


@pytest.mark.parametrize("ability", ["tools", "images", "response_format", "logit_bias"])
async def test_a_chat_model_has_each_ability(profile: Profile, ability: str) -> None:
    catalog = Catalog(profile, load_settings(profile))
    card = await catalog.resolve("chat", None, needed=[(ability, ability)])
    assert ability not in card.unsupported


def test_every_model_comes_from_the_hub_under_its_own_name(profile: Profile) -> None:
    for model in profile.models:
        assert isinstance(model.source, HubSource)
        assert model.source.hub == model.name
        assert not model.trust_remote_code


def test_all_families_of_the_gpu_profile_fit_one_gpu_and_one_replica_of_each_four_cores() -> None:
    profile = load_profile("gpu")
    assert profile.gpus == gpus_needed(profile) == 1
    assert cores(profile) <= 4


@pytest.mark.parametrize("name", ["embedded", "hub"])
def test_two_cores_have_room_for_every_family_and_the_surge_of_a_changed_profile(name: str) -> None:
    profile = load_profile(name)
    every = [profile.ingress, *(family.options for family in profile.families)]
    assert {each.max_surge_percent for each in every} == {100}
    largest = max(each.ray_actor_options.num_cpus for each in every)
    assert cores(profile) + largest <= 2


def test_on_a_full_gpu_no_replica_waits_for_room_that_never_comes() -> None:
    profile = load_profile("gpu")
    assert {family.options.max_surge_percent for family in profile.families} == {0}
    assert profile.ingress.max_surge_percent == 100


def cores(profile: Profile) -> float:
    """What the first replicas ask for, and one replica of each family that sleeps."""
    every = [profile.ingress, profile.ledger, *(family.options for family in profile.families)]
    return sum(each.ray_actor_options.num_cpus * first_replicas(each) for each in every)
