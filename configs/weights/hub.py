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
from configs.weights.weight_files import OTHER_EXPORTS

# Python files are never run unless a profile trusts the model's code.
_TEXTS = ("*.json", "*.txt", "*.model", "*.jinja", "*.tiktoken", "*.py", "*.md", "LICENSE*")
_WEIGHTS = ("*.safetensors",)
_TO_CONVERT = ("*.onnx", "*.gguf")


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
    snapshot = _snapshot(source, source.revision, _patterns(source), hub_cache, token, report)
    revision = snapshot.name
    names = [file.relative_to(snapshot).as_posix() for file in snapshot.rglob("*")]
    if pickles := _pickles(source, names):
        snapshot = _snapshot(source, revision, pickles, hub_cache, token, report)
    _copy(_chosen(source, snapshot), folder)
    if source.convert is None and source.path is None:
        _require_weights(source, folder)
    return revision


def downloaded(source: HubSource, names: Collection[str]) -> set[str]:
    """Which of a repository's files :func:`fetch` downloads."""
    from huggingface_hub.utils import filter_repo_objects  # type: ignore[attr-defined]

    def matching(patterns: list[str]) -> set[str]:
        ignored = _ignored(source)
        return set(filter_repo_objects(names, allow_patterns=patterns, ignore_patterns=ignored))

    found = matching(_patterns(source))
    pickles = _pickles(source, found)
    return found | matching(pickles) if pickles else found


def _patterns(source: HubSource) -> list[str]:
    if source.path is not None:
        return [source.path, f"{source.path}/*"]
    return [*_TEXTS, *(_WEIGHTS if source.convert is None else (*_WEIGHTS, *_TO_CONVERT))]


def _ignored(source: HubSource) -> list[str] | None:
    keep_exports = source.convert is not None or source.path is not None
    return None if keep_exports else list(OTHER_EXPORTS)


def _pickles(source: HubSource, names: Collection[str]) -> list[str]:
    """Patterns of pickles to convert: in folders with a configuration but no safetensors."""
    if source.convert is not None or not source.allow_bin:
        return []
    homes = {str(PurePosixPath(name).parent) for name in names if _is_config(name)} | {"."}
    full = {str(PurePosixPath(name).parent) for name in names if name.endswith(".safetensors")}
    places = ("" if home == "." else f"{home}/" for home in sorted(homes - full))
    return [f"{place}pytorch_model*.bin*" for place in places]


def _is_config(name: str) -> bool:
    return PurePosixPath(name).name == "config.json"


def _snapshot(
    source: HubSource,
    revision: str | None,
    patterns: list[str],
    cache: Path,
    token: str | None,
    report: ByteProgress,
) -> Path:
    from huggingface_hub import errors as hub
    from huggingface_hub import snapshot_download

    # Most errors of the hub are OSErrors; these are not.
    others = (
        hub.HFValidationError,
        hub.HTTPError,  # type: ignore[attr-defined]
        hub.RevisionResolutionError,
        hub.XetDownloadError,
    )
    try:
        return Path(
            snapshot_download(
                source.hub,
                revision=revision,
                cache_dir=cache,
                token=token,
                allow_patterns=patterns,
                ignore_patterns=_ignored(source),
                tqdm_class=reporting_bar(report),
            )
        )
    except (OSError, *others) as error:
        raise explained(source, error) from error


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
