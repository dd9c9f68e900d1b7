"""The allow-list: which models outside the profile may be loaded by name, and within which limits.

A rule names models by a pattern: repositories of the model hub, or folders below one folder. ``*``
stands for any part of a name between slashes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Discriminator, PositiveFloat, PositiveInt, Tag, ValidationInfo, field_validator
from pydantic import StringConstraints as Text

from configs.engines import Dtype, EngineChoice
from configs.model_names import is_model_name
from configs.options import Section
from configs.weights import FolderSource, HubSource, WeightsSource, in_profile_folder

WILDCARDS = frozenset("*?[")

Quantization: TypeAlias = Literal["none", "int8", "nf4"]


class AllowLimits(Section):
    """What holds for every model of a rule.

    ``family`` serves them, by default the first family of the profile that can. ``max_gb`` bounds
    what is downloaded of a repository, and the weights in a folder. ``max_window`` bounds the
    context length of a text generator, in tokens.
    Without an ``engine`` or a ``dtype`` a model gets what loads it soonest: for GGUF OpenVINO and
    float32, else torch.
    """

    family: str | None = None
    max_gb: PositiveFloat = 16.0
    max_window: PositiveInt = 8192
    kv_cache_gb: PositiveFloat | None = None
    engine: EngineChoice | None = None
    dtype: Dtype | None = None
    quantization: Quantization = "none"
    allow_bin: bool = False
    trust_remote_code: bool = False


class HubRule(AllowLimits):
    """Repositories of the model hub whose names match ``hub``, at ``revision`` if it is given.

    Without a revision each model stays at the commit that was found when it was asked for first.
    """

    hub: Annotated[str, Text(pattern=r"^[\w.*?\-]+(/[\w.*?\-]+)?$")]
    revision: Annotated[str, Text(min_length=1)] | None = None

    @property
    def shown(self) -> str:
        """The rule as clients see it."""
        return self.hub

    @property
    def is_exact(self) -> bool:
        return WILDCARDS.isdisjoint(self.hub)

    def source(self, name: str) -> HubSource | None:
        """The source of the model ``name``, if this rule allows it."""
        if not _matches(self.hub, name):
            return None
        return HubSource(hub=name, revision=self.revision, allow_bin=self.allow_bin)

    def allows(self, source: WeightsSource) -> bool:
        """Whether weights may come from ``source``."""
        if not isinstance(source, HubSource) or source.path is not None:
            return False
        return _matches(self.hub, source.hub) and self.revision in (None, source.revision)


class FolderRule(AllowLimits):
    """Folders whose paths match ``folder``, such as ``/models/*`` or ``/models/*/*``.

    A model's name is its path below the folder that the pattern begins with.
    """

    folder: Path

    @field_validator("folder")
    @classmethod
    def _relative_to_the_profile(cls, folder: Path, info: ValidationInfo) -> Path:
        found = in_profile_folder(folder, info)
        if ".." in found.parts:
            raise ValueError("expected a path without ..")
        if len(_pattern_of(found).split("/")) > 2:
            raise ValueError("expected at most two parts from the first * on")
        return found

    @property
    def base(self) -> Path:
        """The folder above all models of this rule."""
        return Path(*self.folder.parts[: len(self.folder.parts) - len(self._pattern.split("/"))])

    @property
    def shown(self) -> str:
        return f"{self._pattern} (a folder of the operator's)"

    @property
    def is_exact(self) -> bool:
        return WILDCARDS.isdisjoint(str(self.folder))

    def source(self, name: str) -> FolderSource | None:
        """The source of the model ``name``, if this rule allows it; the folder may be missing."""
        if not _matches(self._pattern, name):
            return None
        return FolderSource(folder=self.base / name, allow_bin=self.allow_bin)

    def allows(self, source: WeightsSource) -> bool:
        if not isinstance(source, FolderSource) or not source.folder.is_relative_to(self.base):
            return False
        return _matches(self._pattern, str(source.folder.relative_to(self.base)))

    @property
    def _pattern(self) -> str:
        return _pattern_of(self.folder)


def _kind(value: Any) -> str | None:
    keys = value if isinstance(value, dict) else getattr(value, "__dict__", {})
    return next((kind for kind in ("hub", "folder") if kind in keys), None)


AllowRule = Annotated[
    Annotated[HubRule, Tag("hub")] | Annotated[FolderRule, Tag("folder")],
    Discriminator(
        _kind,
        custom_error_type="allow_rule",
        custom_error_message="expected a rule with one of the keys hub, folder",
    ),
]
"""A rule is identified by its key: ``hub`` or ``folder``."""


@dataclass(frozen=True, slots=True)
class AllowedSource:
    """Where a model may be, and the rule that allows it."""

    rule: HubRule | FolderRule
    source: HubSource | FolderSource


class AllowList:
    """The rules of a profile, and folders below the folder of the settings, if there is one."""

    def __init__(
        self, rules: Iterable[HubRule | FolderRule] = (), models_folder: Path | None = None
    ) -> None:
        own = () if models_folder is None else (models_folder / "*", models_folder / "*/*")
        self.rules: Sequence[HubRule | FolderRule] = (
            *rules,
            *(FolderRule(folder=each) for each in own),
        )

    def __bool__(self) -> bool:
        return bool(self.rules)

    @property
    def shown(self) -> list[str]:
        """The rules as clients see them."""
        return list(dict.fromkeys(rule.shown for rule in self.rules))

    def sources(
        self, name: str, kinds: tuple[type[HubRule | FolderRule], ...] = (HubRule, FolderRule)
    ) -> list[AllowedSource]:
        """Where the model ``name`` may be, by the rules of these ``kinds`` in their order."""
        if not is_model_name(name):
            return []
        found = ((rule, rule.source(name)) for rule in self.rules if isinstance(rule, kinds))
        return [AllowedSource(rule, source) for rule, source in found if source is not None]

    def rule_for(
        self, source: WeightsSource, *, trust_remote_code: bool = False
    ) -> HubRule | FolderRule | None:
        """The first rule that allows weights from ``source``, and code of theirs if demanded."""
        for rule in self.rules:
            code = rule.trust_remote_code or not trust_remote_code
            pickles = rule.allow_bin or not source.allow_bin
            if rule.allows(source) and code and pickles:
                return rule
        return None


def _pattern_of(folder: Path) -> str:
    """The parts of a path from the first wildcard on; without one its last part."""
    wild = [i for i, part in enumerate(folder.parts) if not WILDCARDS.isdisjoint(part)]
    return "/".join(folder.parts[wild[0] if wild else -1 :])


def _matches(pattern: str, name: str) -> bool:
    parts, names = pattern.split("/"), name.split("/")
    if len(parts) != len(names):
        return False
    return all(fnmatchcase(each, part) for each, part in zip(names, parts, strict=True))
