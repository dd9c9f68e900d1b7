"""The types of a profile: which families are served, with which models and which resources.

Each family becomes one Ray Serve deployment. Its ``options`` have Serve's own names, so that they
can be looked up in Serve's documentation.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    Field,
    PositiveFloat,
    PositiveInt,
    ValidationInfo,
    field_validator,
)
from pydantic import StringConstraints as Text

from configs.allow import AllowList, AllowRule, Quantization
from configs.engines import (
    DEFAULT_KV_CACHE_GB,
    GENERATION_TASKS,
    HEADS,
    UNSUPPORTED,
    Dtype,
    EngineChoice,
    EngineName,
    ModelHead,
    ToolCalls,
)
from configs.model_names import ModelName
from configs.options import LEDGER_OPTIONS, Section
from configs.options import DeploymentOptions as DeploymentOptions
from configs.options import UserConfig as UserConfig
from configs.settings import Settings, resolve
from configs.weights import WeightsSource, in_profile_folder

OPENVINO_NOTES: dict[Dtype, tuple[str, ...]] = {
    "bfloat16": (
        "dtype bfloat16: on some processors a text changes with the texts that are decoded beside "
        "it, also a greedy or seeded one.",
    ),
    "dynamic-int8": (
        "dtype dynamic-int8: a text changes with the texts that are decoded beside it, also a "
        "greedy or seeded one.",
    ),
}
"""Notes on the texts of generators on OpenVINO, by the dtype that a profile names."""

ImportPath = Annotated[str, Text(pattern=r"^[\w.]+:\w+$")]


class ModelSpec(Section):
    """One model: its weights, how it runs, and its limits.

    ``pinned`` models are loaded at start and never unloaded; others load at their first request.
    ``engine`` runs the model: ``auto`` is the faster engine for encoders on CPUs, else torch.
    ``memory_gb`` is what the model needs on its device, weights and caches together.

    Of encoders: ``max_tokens`` bounds the tokens of a text. ``forwards`` is how many forwards run
    at a time on OpenVINO, each on its share of the threads; on torch it is always one.

    Of text generators: ``window`` is the context length in tokens. ``slots`` is how many sequences
    decode together, or in turns on torch. Their KV caches share ``kv_cache_gb`` GiB, which bounds
    the window as well; by default 1 GiB, on torch more if a full window needs it.
    ``prefill_tokens`` bounds the part of a prompt that one decode step reads, and so how long the
    other sequences wait. ``chat_template`` replaces the model's own: it is Jinja text, or the path
    of a ``.jinja`` file on every node, relative to the profile's folder. ``tool_calls`` is the
    format of the model's tool calls, which its template has to describe to it. ``reads_images`` is
    for a vision-language model, which then answers chats about images.

    Of image generators: ``steps`` is the number of denoising steps, and ``guidance_scale`` how
    closely an image follows its prompt, where a request names none.
    """

    name: ModelName
    aliases: tuple[ModelName, ...] = ()
    tasks: Annotated[tuple[str, ...], Field(min_length=1)]
    source: WeightsSource
    engine: EngineChoice = "auto"
    pinned: bool = False
    dtype: Dtype = "auto"
    quantization: Quantization = "none"
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
    reads_images: bool = False
    steps: PositiveInt | None = None
    guidance_scale: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None

    @field_validator("chat_template")
    @classmethod
    def _relative_to_the_profile(cls, given: str | None, info: ValidationInfo) -> str | None:
        is_file = given is not None and given.endswith(".jinja") and "\n" not in given
        return str(in_profile_folder(Path(given), info)) if is_file and given else given

    @property
    def head(self) -> ModelHead | None:
        """The head that all of the tasks need; ``None`` if the model is not an encoder."""
        heads = {HEADS.get(task) for task in self.tasks}
        return heads.pop() if len(heads) == 1 else None

    @property
    def engines(self) -> tuple[EngineName, ...]:
        """The engines that may run this model. Each node times them and picks the fastest."""
        if self.engine != "auto":
            return (self.engine,)
        plain = self.quantization == "none" and self.dtype in ("auto", "float32")
        if self.head is None or self.trust_remote_code or not plain:
            return ("torch",)
        return ("openvino", "torch")

    @property
    def kv_cache_min_gb(self) -> float:
        """The least GiB that its KV cache may grow to; 0 if it is no text generator."""
        if GENERATION_TASKS.isdisjoint(self.tasks):
            return 0.0
        return self.kv_cache_gb or DEFAULT_KV_CACHE_GB

    @property
    def unsupported(self) -> frozenset[str]:
        """The request fields that this model does not support."""
        if GENERATION_TASKS.isdisjoint(self.tasks):
            return frozenset()
        lacks = frozenset[str]().union(*(UNSUPPORTED[engine] for engine in self.engines))
        needs = {"tools": self.tool_calls is not None, "images": self.reads_images}
        return lacks | {capability for capability, there in needs.items() if not there}

    @property
    def chooses_dtype(self) -> bool:
        """Whether each node measures in which dtype this text generator computes."""
        generates = not GENERATION_TASKS.isdisjoint(self.tasks)
        return generates and self.engines == ("openvino",) and self.dtype == "auto"

    @property
    def notes(self) -> tuple[str, ...]:
        """What a client should know about the answers of this model, in sentences."""
        generates = not GENERATION_TASKS.isdisjoint(self.tasks)
        if not generates or self.engines != ("openvino",):
            return ()
        return OPENVINO_NOTES.get(self.dtype, ())

    @property
    def template_file(self) -> Path | None:
        """The file of the chat template, if it is in a file."""
        given = self.chat_template or ""
        return Path(given) if given.endswith(".jinja") and "\n" not in given else None

    def template(self) -> str | None:
        """The text of the chat template. Raises ``OSError`` if its file cannot be read."""
        file = self.template_file
        return self.chat_template if file is None else file.read_text(encoding="utf-8")


class FamilySpec(Section):
    """One model family: its deployment class, the routers that use it, and its models."""

    name: Annotated[str, Text(pattern=r"^[a-z][a-z0-9_]*$")]
    deployment: ImportPath
    routers: tuple[ImportPath, ...] = ()
    options: Annotated[
        DeploymentOptions,
        Field(validate_default=True),
        AfterValidator(DeploymentOptions.with_policy),
    ] = DeploymentOptions()
    models: tuple[ModelSpec, ...] = ()

    @property
    def deployment_name(self) -> str:
        """The deployment's name in Serve, from the family's, since families may share a class."""
        return "".join(part.title() for part in self.name.split("_"))


def parallel_calls(family: FamilySpec, settings: Settings) -> int:
    """From how many calls on a replica of the family is busy all the time.

    A generator has its slots. Of other families a model computes one batch for each of its
    ``forwards`` while the next one gathers: how many texts make a batch depends on how long they
    are and on how fast the processor is, so it is two calls for each.
    """
    generators = [each for each in family.models if not GENERATION_TASKS.isdisjoint(each.tasks)]
    if generators:
        return max(each.slots or settings.max_concurrent_requests for each in generators)
    return 2 * max((each.forwards for each in family.models), default=1)


class Profile(Section):
    """Everything that is served. ``nodes`` says whether replicas may run on several machines.

    ``gpus`` is how many GPUs there are, and ``gpu_memory_gb`` the memory of each. ``allow`` says
    which other models may be loaded by name.
    """

    name: str
    nodes: Literal["one", "many"] = "one"
    settings: dict[str, Any] = Field(default={})
    gpus: PositiveInt | None = None
    gpu_memory_gb: PositiveFloat | None = None
    trusted_models: tuple[ModelName, ...] = ()
    allow: tuple[AllowRule, ...] = ()
    ingress: DeploymentOptions = DeploymentOptions()
    ledger: DeploymentOptions = LEDGER_OPTIONS
    families: Annotated[tuple[FamilySpec, ...], Field(min_length=1)]

    @property
    def models(self) -> list[ModelSpec]:
        return [model for family in self.families for model in family.models]

    def export_of(self, model: ModelSpec) -> ModelHead | None:
        """The head for an export to OpenVINO ahead of the start, if replicas will need one."""
        on_gpus = self.family_of(model).options.ray_actor_options.num_gpus > 0
        if "openvino" not in model.engines or (model.engine == "auto" and on_gpus):
            return None
        return model.head

    def family_of(self, model: ModelSpec) -> FamilySpec:
        return next(family for family in self.families if model in family.models)


def load_settings(profile: Profile, origin: str | None = None) -> Settings:
    """The settings with the profile's values. Raises :class:`~configs.errors.ConfigError`."""
    return resolve(profile.settings, origin or f"profile {profile.name}: settings")


def allow_list(profile: Profile, settings: Settings) -> AllowList:
    """The models that may be loaded by name, by the profile and by the settings."""
    return AllowList(profile.allow, settings.models_folder)
