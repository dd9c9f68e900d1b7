"""The files of a repository on the model hub: the list of all, and the small ones that say what
the model is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from configs.detection.errors import ModelNotThereError, ModelRefusedError
from configs.detection.model_files import MAX_FILES, MAX_JSON_BYTES, ModelFiles
from configs.weights import PIPELINE_INDEX, HubSource
from configs.weights.hub import downloaded, explained

TIMEOUT_S = 20.0
"""How long the hub may take to list a repository."""

TELLING = (
    PIPELINE_INDEX,
    "config.json",
    "modules.json",
    "config_sentence_transformers.json",
    "sentence_bert_config.json",
    "README.md",
)
"""The files that are read."""


@dataclass(frozen=True, slots=True)
class HubFiles:
    """The files of a repository, its commit, and how many bytes loading the model downloads."""

    files: ModelFiles
    commit: str
    download_bytes: int


def hub_files(source: HubSource, cache_dir: Path, token: str | None) -> HubFiles:
    """The files of a repository. Downloads only those of ``TELLING``.

    Raises :class:`ModelNotThereError` if there is no such repository or revision, and
    ``HubUnavailableError`` while the hub cannot be reached.
    """
    from huggingface_hub import HfApi, errors, hf_hub_download

    try:
        info: Any = HfApi(token=token).model_info(
            source.hub, revision=source.revision, files_metadata=True, timeout=TIMEOUT_S
        )
        sizes = {each.rfilename: each.size or 0 for each in info.siblings or ()}
        if len(sizes) > MAX_FILES:
            raise ModelRefusedError(f"it has more than {MAX_FILES} files")
        telling = [name for name in TELLING if name in sizes and _is_small(name, sizes[name])]
        paths = [
            hf_hub_download(
                source.hub, name, revision=info.sha, cache_dir=cache_dir / "hub", token=token
            )
            for name in telling
        ]
    except errors.GatedRepoError as error:  # which is a RepositoryNotFoundError
        raise explained(source, error) from error
    except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError):
        raise ModelNotThereError(source.hub) from None
    except (OSError, errors.HFValidationError, errors.HTTPError) as error:  # type: ignore[attr-defined]
        raise explained(source, error) from error
    folder = Path(paths[0]).parent if paths else cache_dir / "hub"
    unread = {name for name in TELLING if name not in telling}
    found = {name: size for name, size in sizes.items() if name not in unread}
    size = sum(sizes[name] for name in downloaded(source, sizes))
    return HubFiles(ModelFiles(folder, found), str(info.sha), size)


def _is_small(name: str, size: int) -> bool:
    """Raises :class:`ModelRefusedError` for a file that is too large to be read."""
    if size <= MAX_JSON_BYTES:
        return True
    if name == "README.md":
        return False
    raise ModelRefusedError(f"its {name} has more than {MAX_JSON_BYTES} bytes")
