"""The models that a replica may load: the profile's, and live ones that the cluster knows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from configs.allow import AllowList
from configs.live_models import LiveModel
from configs.profile import ModelSpec
from deployments.models.errors import ModelGone
from deployments.models.model_specs import ModelSpecs
from deployments.seam.live_models import OwnLiveModels

FOLDER = Path("/models")
OWN = ModelSpec.model_validate({"name": "own", "tasks": ["embed"], "source": {"folder": "/own"}})


def live(name: str, family: str = "embeddings", **spec: Any) -> LiveModel:
    folder = spec.pop("folder", FOLDER / name)
    source = {"tasks": ["embed"], "source": {"folder": str(folder)}}
    return LiveModel(family, ModelSpec.model_validate({"name": name, **source, **spec}))


def specs(store: OwnLiveModels, allowed: AllowList | None = None) -> ModelSpecs:
    rules = AllowList((), FOLDER) if allowed is None else allowed
    return ModelSpecs([OWN], "embeddings", store, rules)


async def test_a_live_model_is_known_as_soon_as_it_is_stored() -> None:
    store = OwnLiveModels()
    known = specs(store)
    with pytest.raises(ModelGone):
        await known.find("new")
    store.put(live("new"))
    assert (await known.find("new")).name == "new"
    assert set(known.names) == {"own", "new"}


async def test_a_model_of_the_profile_is_never_looked_up() -> None:
    store = OwnLiveModels()
    store.put(live("own"))
    assert await specs(store).find("own") == OWN
    assert specs(store).stored() == {"own": OWN}


@pytest.mark.parametrize("model", [live("new", "vision"), live("new", folder="/elsewhere/new")])
async def test_models_of_others_and_those_no_longer_allowed_are_unknown(model: LiveModel) -> None:
    store = OwnLiveModels()
    store.put(model)
    with pytest.raises(ModelGone):
        await specs(store).find("new")
    assert "new" not in specs(store).stored()


async def test_without_an_allow_list_the_store_is_not_read() -> None:
    store = OwnLiveModels()
    store.put(live("new"))
    with pytest.raises(ModelGone):
        await specs(store, AllowList()).find("new")


async def test_what_was_removed_or_replaced_is_told_until_it_is_forgotten() -> None:
    store = OwnLiveModels()
    known = specs(store)
    for name in ("gone", "other", "same"):
        store.put(live(name))
        await known.find(name)
    store.remove("gone")
    store.put(live("other", dtype="float32"))
    assert set(known.changed()) == {"gone", "other"}
    known.forget("gone")
    known.forget("other")
    assert known.changed() == []
    assert (await known.find("other")).dtype == "float32"


async def test_the_models_of_the_store_are_read_again_only_when_it_has_changed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = OwnLiveModels()
    store.put(live("one"))
    known, reads = specs(store), 0
    read_all = store.all

    def counted() -> dict[str, LiveModel]:
        nonlocal reads
        reads += 1
        return read_all()

    monkeypatch.setattr(store, "all", counted)
    for _ in range(3):
        assert known.stored().keys() == {"own", "one"}
    assert reads == 1
    store.put(live("two"))
    assert known.stored().keys() == {"own", "one", "two"}
    assert reads == 2
