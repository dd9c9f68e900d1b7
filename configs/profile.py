"""Profiles: which families are served, by which models, with how much of the machine.

A profile is one YAML file. Each family becomes one Ray Serve deployment; its ``options`` carry
Serve's own names, so that what is written here can be looked up in Serve's documentation.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

import yaml
from pydantic import (
    Field,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic import StringConstraints as Text

from configs.engines import (
    GENERATION_TASKS,
    HEADS,
    UNSUPPORTED,
    EngineChoice,
    EngineName,
    ModelHead,
    ToolCalls,
)
from configs.errors import ConfigError, explain
from configs.options import LEDGER_OPTIONS, Section
from configs.options import DeploymentOptions as DeploymentOptions
from configs.options import UserConfig as UserConfig
from configs.settings import Settings, resolve
from configs.weights import PROFILE_FOLDER, WeightsSource, in_profile_folder
from configs.yaml_files import read_yaml

ImportPath = Annotated[str, Text(pattern=r"^[\w.]+:\w+$")]
ModelName = Annotated[str, Text(pattern=r"^[A-Za-z0-9][\w.\-]*(/[\w.\-]+)?$", max_length=200)]


class ModelSpec(Section):
    """One model: where its weights are, how it runs, and what it may take.

    ``window`` is the context length in tokens of a text generator, ``max_tokens`` what one text may
    have for an encoder; ``memory_gb`` what it needs on the device, weights and caches together.
    ``slots`` texts of a generator decode together, or in turns on torch; their KV caches have
    ``kv_cache_gb`` GiB together, which bounds the window as well. By default that is 1, on torch
    also more where a full window takes more.
    ``prefill_tokens`` bounds how much of a prompt one decode step reads, and so how long it holds
    up the texts beside it. ``forwards`` of an encoder run at a time on OpenVINO, each on its share
    of the threads; on torch one does. ``pinned`` models are loaded at start and stay; the others
    load at their first request. ``engine`` is what runs the model: ``auto`` is the faster one for
    encoders on CPUs, and torch for everything else. ``chat_template`` takes the place of the
    model's own: Jinja text, or the path of a ``.jinja`` file on every node; a relative one starts
    at the profile's own folder. ``tool_calls`` says in which form the model writes calls of tools,
    which its template has to show it.
    """

    name: ModelName
    aliases: tuple[ModelName, ...] = ()
    tasks: Annotated[tuple[str, ...], Field(min_length=1)]
    source: WeightsSource
    engine: EngineChoice = "auto"
    pinned: bool = False
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    quantization: Literal["none", "int8", "nf4"] = "none"
    trust_remote_code: bool = False
    window: PositiveInt | None = None
    max_tokens: PositiveInt | None = None
    slots: PositiveInt | None = None
    forwards: PositiveInt = 1
    kv_cache_gb: PositiveFloat | None = None
    prefill_tokens: PositiveInt = 128
    memory_gb: PositiveFloat | None = None
    chat_template: Annotated[str, Text(min_length=1)] | None = None
    tool_calls: ToolCalls | None = None

    @field_validator("chat_template")
    @classmethod
    def _file_beside_the_profile(cls, given: str | None, info: ValidationInfo) -> str | None:
        is_file = given is not None and given.endswith(".jinja") and "\n" not in given
        return str(in_profile_folder(Path(given), info)) if is_file and given else given

    @property
    def head(self) -> ModelHead | None:
        """The one that all of the tasks need; ``None`` when the model is no encoder."""
        heads = {HEADS.get(task) for task in self.tasks}
        return heads.pop() if len(heads) == 1 else None

    @property
    def engines(self) -> tuple[EngineName, ...]:
        """What may run this model. Of several, the faster one does, which only its node knows."""
        if self.engine != "auto":
            return (self.engine,)
        plain = self.quantization == "none" and self.dtype in ("auto", "float32")
        if self.head is None or self.trust_remote_code or not plain:
            return ("torch",)
        return ("openvino", "torch")

    @property
    def unsupported(self) -> frozenset[str]:
        """What a request may ask for that this model cannot do, by the names of the engines."""
        if GENERATION_TASKS.isdisjoint(self.tasks):
            return frozenset()
        lacks = frozenset[str]().union(*(UNSUPPORTED[engine] for engine in self.engines))
        return lacks | (frozenset() if self.tool_calls else {"tools"})

    @property
    def template_file(self) -> Path | None:
        """Where the chat template is, when it is a file."""
        given = self.chat_template or ""
        return Path(given) if given.endswith(".jinja") and "\n" not in given else None

    def template(self) -> str | None:
        """The text of the chat template. Raises ``OSError`` when its file cannot be read."""
        file = self.template_file
        return self.chat_template if file is None else file.read_text(encoding="utf-8")


class Family(Section):
    """One model family: a deployment class, the routers that lead to it, and its models."""

    name: Annotated[str, Text(pattern=r"^[a-z][a-z0-9_]*$")]
    deployment: ImportPath
    routers: tuple[ImportPath, ...] = ()
    options: DeploymentOptions = DeploymentOptions()
    models: Annotated[tuple[ModelSpec, ...], Field(min_length=1)]

    @property
    def deployment_name(self) -> str:
        """The family's name as Serve shows it, so that one class may serve several families."""
        return "".join(part.title() for part in self.name.split("_"))


class Profile(Section):
    """What is served. ``nodes`` says whether Serve may put replicas on more than one machine."""

    name: str
    nodes: Literal["one", "many"] = "one"
    settings: dict[str, Any] = Field(default={})
    gpu_memory_gb: PositiveFloat | None = None
    trusted_models: tuple[ModelName, ...] = ()
    ingress: DeploymentOptions = DeploymentOptions()
    ledger: DeploymentOptions = LEDGER_OPTIONS
    families: Annotated[tuple[Family, ...], Field(min_length=1)]

    @property
    def models(self) -> list[ModelSpec]:
        return [model for family in self.families for model in family.models]

    def export_of(self, model: ModelSpec) -> ModelHead | None:
        """The head to convert for OpenVINO ahead; ``None`` where replicas will not ask for it."""
        on_gpus = self.family_of(model).options.ray_actor_options.num_gpus > 0
        if "openvino" not in model.engines or (model.engine == "auto" and on_gpus):
            return None
        return model.head

    def family_of(self, model: ModelSpec) -> Family:
        return next(family for family in self.families if model in family.models)


Check: TypeAlias = Callable[[Profile], list[str]]
"""Finds what is wrong with a profile, each as ``key: what was expected``."""


def profile_path(ref: str | Path) -> Path:
    """A profile's file: a path when it looks like one, else a name beside this module."""
    path = Path(ref)
    if path.suffix in {".yaml", ".yml"}:
        return path
    return Path(__file__).with_name(f"{ref}.yaml")


def load_profile(ref: str | Path, *checks: Check) -> Profile:
    """Read and check a profile by name (``embedded``) or path, by its rules and by ``checks``.

    Raises :class:`ConfigError` that names the file, the key and what was expected.
    """
    from configs.rules import broken_rules  # the rules read profiles: no import cycle this way

    path = profile_path(ref)
    profile = _parse(path)
    problems = broken_rules(profile, load_settings(profile, str(path)))
    problems += [problem for check in checks for problem in check(profile)]
    if problems:
        raise ConfigError(str(path), problems)
    return profile


def load_settings(profile: Profile, origin: str | None = None) -> Settings:
    return resolve(profile.settings, origin or f"profile {profile.name}: settings")


def _parse(path: Path) -> Profile:
    try:
        content = read_yaml(path.read_text(encoding="utf-8"))
    except OSError as error:
        known = sorted(file.stem for file in Path(__file__).parent.glob("*.yaml"))
        reason = f"cannot be read ({error.strerror}); profiles by name: {', '.join(known)}"
        raise ConfigError(str(path), [reason]) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(str(path), [f"is not YAML: {' '.join(str(error).split())}"]) from None
    if not isinstance(content, dict):
        raise ConfigError(str(path), ["(whole file): expected a mapping"])
    try:
        return Profile.model_validate(content, context={PROFILE_FOLDER: path.resolve().parent})
    except ValidationError as error:
        raise ConfigError(str(path), explain(error, model=Profile, content=content)) from None
