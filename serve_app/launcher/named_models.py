"""Makes a profile of models that are named on the command line: hub names, folders, GGUF files.

Each goes to the family of the embedded profile that serves its kind, with that family's options.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from configs.allow import AllowedSource, FolderRule, HubRule
from configs.detection import Inspection, ModelNotThereError, ModelRefusedError, inspect_model
from configs.errors import ConfigError
from configs.live_models import LiveModel, LiveModelError, live_model
from configs.model_names import is_model_name
from configs.profile import FamilySpec, ModelSpec, Profile
from configs.profile_file import load_profile
from configs.settings import Settings
from configs.weights import FolderSource, HubSource, WeightsError

HEAD = "# Made by `prsm-serve init`; docs/profiles.md says what can be in here.\n"
MAX_GB = 10_000.0
"""Whoever names a model on the command line means it, however large it is."""

SETTINGS = ("max_concurrent_requests", "batch_size")
"""Settings of the embedded profile that the made one has as well."""


def profile_of(models: Sequence[str], settings: Settings) -> str:
    """The text of a profile that serves ``models``, and pins them.

    Inspects each, and downloads of repositories what tells their kind. Raises :class:`ConfigError`
    with a line for each model that cannot be served.
    """
    template = load_profile("embedded")
    found: list[LiveModel] = []
    problems: list[str] = []
    for reference in dict.fromkeys(models):
        try:
            found.append(_inspected(reference, template, settings))
        except ModelNotThereError:
            problems.append(f"{reference}: no such folder, GGUF file or repository of the hub")
        except (ModelRefusedError, LiveModelError, WeightsError) as error:
            problems.append(f"{reference}: {error}")
    names = [each.spec.name for each in found]
    problems += [f"{name}: named twice" for name in {*names} if names.count(name) > 1]
    if problems:
        raise ConfigError("models", problems)
    families = [_family(each, found) for each in template.families]
    content = {
        "name": "named",
        "settings": {key: template.settings[key] for key in SETTINGS},
        "ingress": template.ingress.model_dump(mode="json", exclude_unset=True),
        "families": [each for each in families if each["models"]],
    }
    return HEAD + yaml.safe_dump(content, sort_keys=False, width=100)


def written_profile(models: Sequence[str], settings: Settings) -> Path:
    """The file of such a profile, in the cache directory, where replicas find it too.

    Raises :class:`ConfigError`.
    """
    text = profile_of(models, settings)
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    path = settings.hf_cache_dir.resolve() / "profiles" / f"named-{digest}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def _inspected(reference: str, template: Profile, settings: Settings) -> LiveModel:
    """How a model is served. Raises what inspecting and :func:`live_model` raise."""
    name, allowed, root = _located(reference)
    inspection = Inspection(allowed.source, root, MAX_GB)
    found = inspect_model(inspection, settings.hf_cache_dir, settings.token)
    if found.format != "pickle":
        source = allowed.source.model_copy(update={"allow_bin": False})
        allowed = replace(allowed, source=source)
    return live_model(name, allowed, found, template)


def _located(reference: str) -> tuple[str, AllowedSource, Path | None]:
    """A model's name and source; a path on this machine is preferred to the hub."""
    path = Path(reference).expanduser()
    if path.suffix == ".gguf" and path.is_file():
        path = path.parent
    if path.is_dir():
        folder = path.resolve()
        if not is_model_name(folder.name):
            raise ModelRefusedError("its folder's name cannot be a model's: letters, digits, . _ -")
        rule = FolderRule(folder=folder, allow_bin=True)
        source = FolderSource(folder=folder, allow_bin=True)
        return folder.name, AllowedSource(rule, source), folder.parent
    if not is_model_name(reference):
        raise ModelNotThereError(reference)
    hub = HubSource(hub=reference, allow_bin=True)
    return reference, AllowedSource(HubRule(hub=reference, allow_bin=True), hub), None


def _family(template: FamilySpec, found: Sequence[LiveModel]) -> dict[str, Any]:
    content = template.model_dump(mode="json", exclude_unset=True)
    scaling = content["options"]["autoscaling_config"]
    scaling["min_replicas"] = max(1, scaling["min_replicas"])
    models = [_model(each.spec) for each in found if each.family == template.name]
    return {**content, "models": models}


def _model(spec: ModelSpec) -> dict[str, Any]:
    content = spec.model_dump(mode="json", exclude_defaults=True)
    content.pop("dtype", None)  # the fastest, which is measured once, as the engine of encoders
    if spec.head is not None:
        del content["engine"]
    return {**content, "pinned": True}
