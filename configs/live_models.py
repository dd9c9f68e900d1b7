"""Models that are loaded by name beside those of the profile: how each of them is served."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence, Set
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from configs.allow import AllowedSource, AllowList, Quantization
from configs.detection import DetectedModel, ModelKind
from configs.detection.kinds import KINDS
from configs.engines import GENERATION_TASKS, Dtype, EngineChoice
from configs.model_rules import broken_model
from configs.profile import FamilySpec, ModelSpec, Profile
from configs.weights import HubSource, SimpleConversion

OWN = "deployments."
"""The beginning of the import paths of this service's families."""


class LiveModelError(ValueError):
    """A model cannot be served as it is asked for. ``field`` is the option at fault, if one is."""

    def __init__(self, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


@dataclass(frozen=True, slots=True)
class LiveOptions:
    """What an order asks of a model; ``None`` leaves it to the rule that allows the model."""

    task: str | None = None
    quantization: Quantization | None = None
    dtype: Dtype | None = None


@dataclass(frozen=True, slots=True)
class LiveModel:
    """A model that is served beside the profile's, and the family that serves it.

    ``added`` is when it was loaded by name for the first time, in seconds since 1970.
    ``asked_revision`` is the branch, tag or commit that was asked for, if one was: the source of
    ``spec`` has the commit that it meant then.
    """

    family: str
    spec: ModelSpec
    added: float = 0.0
    asked_revision: str | None = None

    def to_json(self) -> bytes:
        value = {
            "family": self.family,
            "spec": self.spec.model_dump(mode="json", exclude_defaults=True),
            "added": self.added,
            "asked_revision": self.asked_revision,
        }
        return json.dumps(value).encode()

    @classmethod
    def from_json(cls, text: bytes) -> LiveModel | None:
        """``None`` for what this version of the service does not understand."""
        try:
            value = json.loads(text)
            spec = ModelSpec.model_validate(value["spec"])
            asked = value.get("asked_revision")
            return cls(str(value["family"]), spec, float(value["added"]), asked)
        except (ValueError, KeyError, TypeError, ValidationError):
            return None

    def is_allowed(self, allowed: AllowList) -> bool:
        """Whether the rules of today still allow it."""
        code, source = self.spec.trust_remote_code, self.spec.source
        if self.asked_revision is not None:
            source = source.model_copy(update={"revision": self.asked_revision})
        return allowed.rule_for(source, trust_remote_code=code) is not None


def live_model(
    name: str,
    allowed: AllowedSource,
    found: DetectedModel,
    profile: Profile,
    options: LiveOptions | None = None,
) -> LiveModel:
    """How the model ``found`` is served under ``name``.

    Raises :class:`LiveModelError` if no family of the profile can serve it so.
    """
    wanted, rule = options or LiveOptions(), allowed.rule
    kind = _kind(found, wanted.task, rule.family, profile)
    family = _family(kind, rule.family, found, profile)
    on_gpu = family.options.ray_actor_options.num_gpus > 0
    from_gguf = found.format == "gguf"
    engine = rule.engine or ("openvino" if from_gguf and not on_gpu else "torch")
    fast_dtype: Dtype = "float32" if from_gguf and engine == "openvino" else "auto"
    spec = _spec(
        name=name,
        tasks=kind.tasks,
        source=_source(allowed, found, engine),
        engine=engine,
        dtype=wanted.dtype or rule.dtype or fast_dtype,
        quantization=wanted.quantization or rule.quantization,
        trust_remote_code=rule.trust_remote_code,
        reads_images=kind.reads_images,
        **_limits(allowed, found, kind),
    )
    for problem in broken_model(spec, profile.nodes):
        field, _, message = problem.partition(": ")
        raise LiveModelError(f"{field}: {message}", field)
    asked = allowed.source.revision if isinstance(allowed.source, HubSource) else None
    return LiveModel(family.name, spec, time.time(), asked)


def _spec(**options: Any) -> ModelSpec:
    try:
        return ModelSpec(**options)
    except ValidationError as error:
        first = error.errors()[0]
        field = str(first["loc"][0]) if first["loc"] else None
        raise LiveModelError(f"{field}: {first['msg']}", field) from None


def _kind(
    found: DetectedModel, task: str | None, family: str | None, profile: Profile
) -> ModelKind:
    """The most likely kind that does ``task``, or that the ``family`` of a rule serves."""
    if task is None:
        served = {each.deployment for each in profile.families if family in (None, each.name)}
        return next((kind for kind in found.kinds if kind.deployment in served), found.kinds[0])
    able = [kind for kind in found.kinds if task in kind.tasks]
    if not able:
        tasks = dict.fromkeys(each for kind in found.kinds for each in kind.tasks)
        raise LiveModelError(f"it is a {found.what}, which does {', '.join(tasks)}", "task")
    return min(able, key=lambda kind: len(kind.tasks))


def _family(
    kind: ModelKind, name: str | None, found: DetectedModel, profile: Profile
) -> FamilySpec:
    tasks = ", ".join(kind.tasks)
    for family in profile.families:
        fits = family.deployment == kind.deployment
        if name is None and fits:
            return family
        if family.name == name:
            # A class that is not of this service may serve the same kind of models.
            if fits or not family.deployment.startswith(OWN):
                return family
            raise LiveModelError(f"it is a {found.what}, for {tasks}; {name} does not serve that")
    raise LiveModelError(
        f"it is a {found.what}, for {tasks}; the profile has no family of {kind.deployment}"
    )


def _source(allowed: AllowedSource, found: DetectedModel, engine: EngineChoice) -> Any:
    """The source at the commit that was inspected, with the conversion that it needs."""
    if found.format == "gguf":
        recipe = "gguf-tokenizer" if engine == "openvino" else "gguf-safetensors"
        conversion = SimpleConversion.model_validate({"recipe": recipe})
        return allowed.source.model_copy(update={"convert": conversion})
    if found.revision is not None:
        return allowed.source.model_copy(update={"revision": found.revision})
    return allowed.source


def _limits(allowed: AllowedSource, found: DetectedModel, kind: ModelKind) -> dict[str, Any]:
    rule = allowed.rule
    if not GENERATION_TASKS.isdisjoint(kind.tasks):
        window = min(found.window or rule.max_window, rule.max_window)
        cache = {} if rule.kv_cache_gb is None else {"kv_cache_gb": rule.kv_cache_gb}
        return {"window": window, **cache}
    return {} if found.max_tokens is None else {"max_tokens": found.max_tokens}


def families_for(
    allowed: AllowedSource, profile: Profile, tasks: Set[str] = frozenset()
) -> Sequence[str]:
    """The names of the families that may serve a model before anybody has inspected it.

    With ``tasks``, those whose models may do one of them.
    """
    if allowed.rule.family is not None:
        return [allowed.rule.family]
    able = {each.deployment for each in KINDS if not (tasks and tasks.isdisjoint(each.tasks))}
    first: dict[str, str] = {}
    for family in profile.families:
        if family.deployment in able:
            first.setdefault(family.deployment, family.name)
    return list(first.values())


def families_awake_first(profile: Profile) -> Sequence[str]:
    """The names of all families; those that always have a replica come first."""
    sleeping = {
        family.name: family.options.scaling is not None and not family.options.scaling.min_replicas
        for family in profile.families
    }
    return sorted(sleeping, key=sleeping.__getitem__)
