"""Finds a model where its source says, and finds out what it is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from configs.detection.detect import DetectedModel, detect
from configs.detection.errors import ModelNotThereError, ModelRefusedError
from configs.detection.hub_files import hub_files
from configs.detection.model_files import ModelFiles
from configs.weights import FolderSource, HubSource

GIB = 1024**3


@dataclass(frozen=True, slots=True)
class Inspection:
    """A model to inspect. A folder must be below ``root``.

    ``max_gb`` bounds, in GiB, its weights in a folder, or what is downloaded of a repository.
    """

    source: HubSource | FolderSource
    root: Path | None
    max_gb: float
    trust_remote_code: bool = False


def inspect_model(
    inspection: Inspection, cache_dir: Path, token: str | None = None
) -> DetectedModel:
    """What the model is. Blocks for as long as the file system or the hub takes.

    Raises :class:`ModelNotThereError`, :class:`ModelRefusedError`, and ``HubUnavailableError``
    while the hub cannot be reached.
    """
    source = inspection.source
    if isinstance(source, HubSource):
        found = _in_repository(source, inspection, cache_dir, token)
    else:
        files = _in_folder(source, inspection.root)
        found = detect(files, trust_remote_code=inspection.trust_remote_code)
        _check_size(found.weight_bytes, inspection.max_gb)
    if found.format == "pickle" and not source.allow_bin:
        raise ModelRefusedError("it has no safetensors weights, and pickles are not loaded here")
    return found


def _in_repository(
    source: HubSource, inspection: Inspection, cache_dir: Path, token: str | None
) -> DetectedModel:
    found = hub_files(source, cache_dir, token)
    if not found.files.has("config.json") and found.files.with_suffix(".gguf"):
        raise ModelRefusedError("it has only GGUF files, which are loaded from folders alone")
    model = detect(found.files, trust_remote_code=inspection.trust_remote_code)
    _check_size(found.download_bytes, inspection.max_gb)
    return replace(model, revision=found.commit)


def _check_size(size: int, max_gb: float) -> None:
    if size > max_gb * GIB:
        raise ModelRefusedError(f"its files have {size / GIB:.1f} GiB; at most {max_gb:g} may be")


def _in_folder(source: FolderSource, root: Path | None) -> ModelFiles:
    try:
        return ModelFiles.of_folder(source.folder, root or source.folder.parent)
    except OSError:
        raise ModelNotThereError(source.folder.name) from None
