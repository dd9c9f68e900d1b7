"""Fetches a repository from the model hub: safetensors, configurations, tokenizer files."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from configs.weights.errors import HubUnavailableError, NoSafeWeightsError, PathNotInSourceError
from configs.weights.sources import HubSource

# Python files are never run unless a profile trusts the model's code.
_TEXTS = ("*.json", "*.txt", "*.model", "*.jinja", "*.tiktoken", "*.py", "*.md", "LICENSE*")
_WEIGHTS = ("*.safetensors",)
_TO_CONVERT = ("*.onnx", "*.gguf")
_OTHER_EXPORTS = ("onnx/*", "openvino/*", "original/*", "consolidated*", "coreml/*")


def fetch(source: HubSource, folder: Path, hub_cache: Path, token: str | None) -> str:
    """Write the repository's files into ``folder`` and return their revision, a commit.

    Raises:
        HubUnavailableError: the hub, repository or revision cannot be accessed.
        NoSafeWeightsError: there are no safetensors, and no ``.bin`` that may be converted.
        PathNotInSourceError: the repository has no ``source.path``.
    """
    snapshot = _snapshot(source, source.revision, _patterns(source), hub_cache, token)
    revision = snapshot.name
    if source.convert is None and source.allow_bin:
        pickles = [f"{place}pytorch_model*.bin*" for place in _without_weights(snapshot)]
        if pickles:
            snapshot = _snapshot(source, revision, pickles, hub_cache, token)
    _copy(_chosen(source, snapshot), folder)
    if source.convert is None and source.path is None:
        _require_weights(source, folder)
    return revision


def _patterns(source: HubSource) -> list[str]:
    if source.path is not None:
        return [source.path, f"{source.path}/*"]
    return [*_TEXTS, *(_WEIGHTS if source.convert is None else (*_WEIGHTS, *_TO_CONVERT))]


def _snapshot(
    source: HubSource, revision: str | None, patterns: list[str], cache: Path, token: str | None
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
    keep_exports = source.convert is not None or source.path is not None
    try:
        return Path(
            snapshot_download(
                source.hub,
                revision=revision,
                cache_dir=cache,
                token=token,
                allow_patterns=patterns,
                ignore_patterns=None if keep_exports else list(_OTHER_EXPORTS),
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


def _without_weights(snapshot: Path) -> list[str]:
    """Folders with a configuration but no safetensors, as prefixes of file names."""
    homes = {config.parent for config in snapshot.rglob("config.json")} | {snapshot}
    bare = (home for home in homes if not any(home.glob("*.safetensors")))
    return ["" if home == snapshot else f"{home.relative_to(snapshot)}/" for home in bare]


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
