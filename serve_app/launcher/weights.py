"""The weights of a profile's models: tells which are in the cache, and fetches the others."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from configs.profile import ModelSpec, Profile


@dataclass(frozen=True)
class ServedModel:
    """One line of `prsm-serve models`."""

    name: str
    family: str
    tasks: tuple[str, ...]
    engine: str
    source: str
    is_cached: bool


def served_models(profile: "Profile") -> list[ServedModel]:
    """The models of the profile, and which of them can be loaded without the network."""
    return [
        ServedModel(
            name=model.name,
            family=profile.family_of(model).name,
            tasks=tuple(model.tasks),
            engine=" or ".join(model.engines),
            source=model.source.name,
            is_cached=_is_cached(profile, model),
        )
        for model in profile.models
    ]


def pull(profile: "Profile") -> None:
    """Fetch and convert missing weights, and measure the models that nodes measure.

    Progress goes to standard error. Raises `WeightsError`.
    """
    from configs.profile import load_settings
    from configs.weights import exported, fastest_dtype, materialise

    settings = load_settings(profile)
    cache, token = settings.hf_cache_dir, settings.token
    for model in profile.models:
        if (head := profile.export_of(model)) is not None:
            exported(model.source, head, cache, token=token)
        elif model.chooses_dtype:
            fastest_dtype(model.source, cache, token=token)
        else:
            materialise(model.source, cache, token=token)


def is_complete(profile: "Profile") -> bool:
    """Whether all weights are in the cache."""
    return all(_is_cached(profile, model) for model in profile.models)


def _is_cached(profile: "Profile", model: "ModelSpec") -> bool:
    from configs.profile import load_settings
    from configs.weights import is_cached, is_dtype_known, is_exported

    cache, head = load_settings(profile).hf_cache_dir, profile.export_of(model)
    exists = head is None or is_exported(model.source, head, cache)
    chosen = not model.chooses_dtype or is_dtype_known(model.source, cache)
    return bool(exists and chosen and is_cached(model.source, cache))
