"""Fetches a repository from the model hub: safetensors, configurations, tokenizer files."""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection
from pathlib import Path, PurePosixPath

from configs.weights.errors import HubUnavailableError, NoSafeWeightsError, PathNotInSourceError
from configs.weights.hub_progress import reporting_bar
from configs.weights.progress import ByteProgress
from configs.weights.sources import HubSource
from configs.weights.weight_files import HALF, OTHER_EXPORTS, PIPELINE_INDEX

# Python files are never run unless a profile trusts the model's code.
_TEXTS = ("*.json", "*.txt", "*.model", "*.jinja", "*.tiktoken", "*.py", "*.md", "LICENSE*")
_WEIGHTS = ("*.safetensors",)
_TO_CONVERT = ("*.onnx", "*.gguf")
_OF_PARTS = ("*/*.safetensors",)
_VARIANTS = ("*.*.safetensors",)


def fetch(
    source: HubSource, folder: Path, hub_cache: Path, token: str | None, report: ByteProgress
) -> str:
    """Write the repository's files into ``folder`` and return their revision, a commit.

    ``report`` is called while files are downloaded.

    Raises:
        HubUnavailableError: the hub, repository or revision cannot be accessed.
        NoSafeWeightsError: there are no safetensors, and no ``.bin`` that may be converted.
        PathNotInSourceError: the repository has no ``source.path``.
    """
    is_pipeline = _is_pipeline(source, hub_cache, token)
    patterns, ignored = _patterns(source, is_pipeline), _ignored(source, is_pipeline)
    snapshot = _snapshot(source, source.revision, patterns, ignored, hub_cache, token, report)
    revision = snapshot.name
    names = [file.relative_to(snapshot).as_posix() for file in snapshot.rglob("*")]
    if more := _missing_weights(source, names, is_pipeline):
        ignored = _ignored(source)
        snapshot = _snapshot(source, revision, more, ignored, hub_cache, token, report)
    _copy(_chosen(source, snapshot), folder)
    if source.convert is None and source.path is None:
        _require_weights(source, folder)
    return revision


def downloaded(source: HubSource, names: Collection[str]) -> set[str]:
    """Which of a repository's files :func:`fetch` downloads."""
    from huggingface_hub.utils import filter_repo_objects  # type: ignore[attr-defined]

    def matching(patterns: list[str], ignored: list[str] | None) -> set[str]:
        return set(filter_repo_objects(names, allow_patterns=patterns, ignore_patterns=ignored))

    is_pipeline = _is_whole(source) and PIPELINE_INDEX in names
    found = matching(_patterns(source, is_pipeline), _ignored(source, is_pipeline))
    more = _missing_weights(source, found, is_pipeline)
    return found | matching(more, _ignored(source)) if more else found


def _is_whole(source: HubSource) -> bool:
    """Whether the whole repository is the model, as it is."""
    return source.path is None and source.convert is None


def _is_pipeline(source: HubSource, cache: Path, token: str | None) -> bool:
    """Whether the repository has a pipeline of diffusers. False while the hub cannot be reached."""
    from huggingface_hub import hf_hub_download

    if not _is_whole(source):
        return False
    try:
        hf_hub_download(
            source.hub, PIPELINE_INDEX, revision=source.revision, cache_dir=cache, token=token
        )
    except _errors():
        return False
    return True


def _patterns(source: HubSource, is_pipeline: bool) -> list[str]:
    if source.path is not None:
        return [source.path, f"{source.path}/*"]
    if is_pipeline:
        return [*_TEXTS, *_OF_PARTS]
    return [*_TEXTS, *(_WEIGHTS if source.convert is None else (*_WEIGHTS, *_TO_CONVERT))]


def _ignored(source: HubSource, is_pipeline: bool = False) -> list[str] | None:
    if not _is_whole(source):
        return None
    return [*OTHER_EXPORTS, *(_VARIANTS if is_pipeline else ())]


def _missing_weights(source: HubSource, names: Collection[str], is_pipeline: bool) -> list[str]:
    """Patterns of weights for the folders that have a configuration but no safetensors.

    Those of a pipeline may have them in half precision alone. Of others they are pickles, if those
    may be converted.
    """
    if not is_pipeline and (source.convert is not None or not source.allow_bin):
        return []
    homes = {str(PurePosixPath(name).parent) for name in names if _is_config(name)} | {"."}
    full = {str(PurePosixPath(name).parent) for name in names if name.endswith(".safetensors")}
    if is_pipeline:
        return [f"{home}/*.{HALF}*.safetensors" for home in sorted(homes - full - {"."})]
    places = ("" if home == "." else f"{home}/" for home in sorted(homes - full))
    return [f"{place}pytorch_model*.bin*" for place in places]


def _is_config(name: str) -> bool:
    return PurePosixPath(name).name == "config.json"


def _snapshot(
    source: HubSource,
    revision: str | None,
    patterns: list[str],
    ignored: list[str] | None,
    cache: Path,
    token: str | None,
    report: ByteProgress,
) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(
            snapshot_download(
                source.hub,
                revision=revision,
                cache_dir=cache,
                token=token,
                allow_patterns=patterns,
                ignore_patterns=ignored,
                tqdm_class=reporting_bar(report),
            )
        )
    except _errors() as error:
        raise explained(source, error) from error


def _errors() -> tuple[type[Exception], ...]:
    """Those of the hub's client, most of which are ``OSError``."""
    from huggingface_hub import errors as hub

    return (
        OSError,
        hub.HFValidationError,
        hub.HTTPError,  # type: ignore[attr-defined]
        hub.RevisionResolutionError,
        hub.XetDownloadError,
    )


def explained(source: HubSource, error: Exception) -> HubUnavailableError:
    """The error for a failed access to the hub, with a message that says what to do."""
    from huggingface_hub import errors as hub

    what = f"{source.hub}@{source.revision or 'main'}"
    if isinstance(error, hub.GatedRepoError):
        why = "its owner asks for consent: accept on the model's page and set PRSM_HF_TOKEN"
    elif isinstance(error, hub.RevisionNotFoundError):
        why = "the repository has no such revision; correct revision in the profile"
    elif isinstance(error, hub.RepositoryNotFoundError):
        why = "no such repository, or it is private: correct the id, or set PRSM_HF_TOKEN"
    elif isinstance(error, hub.LocalEntryNotFoundError | ConnectionError | TimeoutError):
        why = (
            "the model hub cannot be reached and this revision is not in the cache: check the "
            "network (HF_ENDPOINT, HF_HUB_OFFLINE, proxy), or copy a filled cache directory here"
        )
    else:
        why = f"the download failed ({type(error).__name__}: {str(error)[:300]})"
    return HubUnavailableError(f"{what}: {why}.")


def _chosen(source: HubSource, snapshot: Path) -> Path:
    chosen = snapshot / (source.path or "")
    if not chosen.exists():
        raise PathNotInSourceError(f"{source.hub}@{snapshot.name} has no {source.path!r}.")
    return chosen


def _copy(origin: Path, folder: Path) -> None:
    """Hard-link the hub cache's files where possible, so that weights are on disk only once."""
    files = [origin] if origin.is_file() else [f for f in origin.rglob("*") if f.is_file()]
    base = origin.parent if origin.is_file() else origin
    for file in files:
        target = folder / file.relative_to(base)
        target.parent.mkdir(parents=True, exist_ok=True)
        link_or_copy(file, target)


def link_or_copy(file: Path, target: Path) -> None:
    """Hard-link ``file`` to ``target``, or copy it where the file system has no hard links."""
    try:
        os.link(file.resolve(), target)
    except OSError:
        shutil.copyfile(file, target)


def _require_weights(source: HubSource, folder: Path) -> None:
    if any(folder.rglob("*.safetensors")) or any(folder.rglob("pytorch_model*.bin")):
        return
    hint = (
        "and no pytorch_model.bin either; choose another repository or revision"
        if source.allow_bin
        else "; if it has pytorch_model.bin, allow_bin: true converts that once"
    )
    raise NoSafeWeightsError(f"{source.hub} has no safetensors {hint}.")
