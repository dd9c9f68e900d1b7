"""Which models leave first: what keeping each saves, for the memory that it takes."""

from __future__ import annotations

from configs.profile import ModelSpec
from configs.weights import FolderSource
from deployments.models.eviction_order import MIN_LOAD_S, idle_cost, to_evict
from deployments.models.loaded_model import LoadedModel
from deployments.models.memory import GIB, MemoryUse

NOW = 1000.0


def model(
    name: str, gb: float = 1.0, load_s: float = 10.0, idle_s: float = 60.0, users: int = 0
) -> LoadedModel[str]:
    source = FolderSource.model_validate({"folder": "nowhere"})
    spec = ModelSpec(name=name, tasks=("embed",), source=source)
    made = LoadedModel(spec, name, MemoryUse(int(gb * GIB), 0), load_s, clock=lambda: NOW - idle_s)
    made.users = users
    return made


def leaving(models: list[LoadedModel[str]], gb: float) -> list[str]:
    sizes = {each.spec.name: each.budget_bytes() for each in models}
    return [each.spec.name for each in to_evict(models, sizes, int(gb * GIB), NOW)]


def test_of_models_that_load_alike_the_one_used_longest_ago_goes() -> None:
    models = [model("new", idle_s=10), model("old", idle_s=90), model("older", idle_s=91)]
    assert leaving(models, 1) == ["older"]
    assert leaving(models, 2) == ["older", "old"]


def test_a_model_that_loads_slowly_outlasts_one_that_was_used_after_it() -> None:
    assert leaving([model("slow", load_s=60, idle_s=100), model("quick", idle_s=20)], 1) == [
        "quick"
    ]


def test_but_not_for_ever() -> None:
    assert leaving([model("slow", load_s=60, idle_s=121), model("quick", idle_s=20)], 1) == ["slow"]


def test_the_one_goes_that_saves_the_least_time_for_its_memory() -> None:
    large, small = model("large", gb=8, load_s=16), model("small", gb=0.5, load_s=4)
    assert leaving([small, large], 0.25) == ["large"]


def test_a_small_model_stays_where_the_larger_one_behind_it_makes_room_enough() -> None:
    models = [model("small", gb=0.1, idle_s=900), model("large", gb=4, idle_s=1)]
    assert leaving(models, 3) == ["large"]
    assert leaving(models, 4.05) == ["small", "large"]


def test_models_in_use_come_last_and_the_first_loaded_before_the_others() -> None:
    models = [model("busy", users=1), model("later", users=2), model("idle", idle_s=0.1)]
    assert leaving(models, 1) == ["idle"]
    assert leaving(models, 2) == ["idle", "busy"]


def test_all_go_where_none_suffice_and_none_where_there_is_room() -> None:
    models = [model("a"), model("b", idle_s=1)]
    assert leaving(models, 9) == ["a", "b"]
    assert leaving(models, 0) == []


def test_loads_too_short_to_be_measured_well_count_alike() -> None:
    quick, quicker = model("quick", load_s=MIN_LOAD_S / 2), model("quicker", load_s=0.0)
    assert idle_cost(quick, GIB, NOW) == idle_cost(quicker, GIB, NOW)


def test_a_model_that_was_loaded_anew_is_another_one() -> None:
    first, second = model("one"), model("one")
    second.loaded_at = first.loaded_at
    assert first in [first]
    assert first not in [second]
