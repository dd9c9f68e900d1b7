"""Repositories of the model hub are inspected without their weights."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from huggingface_hub import errors

from configs.detection import (
    DetectedModel,
    Inspection,
    ModelNotThereError,
    ModelRefusedError,
    inspect_model,
)
from configs.weights import HubSource, HubUnavailableError

COMMIT = "c" * 40


class Repository:
    """Stands in for the hub's client: one repository, whose files are ``files``."""

    def __init__(self) -> None:
        self.files: dict[str, str] = {
            "config.json": json.dumps({"architectures": ["BertModel"], "model_type": "bert"}),
            "tokenizer.json": "{}",
            "README.md": "---\npipeline_tag: feature-extraction\n---\n",
        }
        self.sizes = {"model.safetensors": 2**30}
        self.fetched: list[str] = []
        self.asked: list[Any] = []
        self.error: Exception | None = None

    def model_info(self, name: str, **options: Any) -> Any:
        self.asked.append((name, options["revision"]))
        if self.error is not None:
            raise self.error
        sizes = {name: len(text) for name, text in self.files.items()} | self.sizes
        siblings = [SimpleNamespace(rfilename=name, size=size) for name, size in sizes.items()]
        return SimpleNamespace(siblings=siblings, sha=COMMIT)

    def download(self, name: str, file: str, *, cache_dir: Path, **options: Any) -> str:
        assert options["revision"] == COMMIT
        self.fetched.append(file)
        path = cache_dir / "snapshot" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.files[file])
        return str(path)


@pytest.fixture
def repository(monkeypatch: pytest.MonkeyPatch) -> Repository:
    made = Repository()
    monkeypatch.setattr("huggingface_hub.HfApi", lambda **_: made)
    monkeypatch.setattr("huggingface_hub.hf_hub_download", made.download)
    return made


def inspected(cache: Path, max_gb: float = 2.0, **source: Any) -> DetectedModel:
    return inspect_model(Inspection(HubSource(hub="my-org/model", **source), None, max_gb), cache)


def test_only_what_tells_the_kind_of_model_is_downloaded(
    repository: Repository, tmp_path: Path
) -> None:
    found = inspected(tmp_path, revision="v1")
    assert (found.kinds[0].tasks, found.revision) == (("embed",), COMMIT)
    assert found.weight_bytes == 2**30
    assert repository.asked == [("my-org/model", "v1")]
    assert set(repository.fetched) == {"config.json", "README.md"}


@pytest.mark.parametrize(
    "name",
    ["model.safetensors", "sub/more.safetensors", "merges.txt", "data.json", "README.md", "x.py"],
)
def test_files_beyond_the_limit_are_refused_before_they_are_downloaded(
    repository: Repository, tmp_path: Path, name: str
) -> None:
    repository.sizes[name] = 3 * 2**30
    with pytest.raises(ModelRefusedError, match=r"its files have [34]\.0 GiB; at most 2"):
        inspected(tmp_path)


@pytest.mark.parametrize(
    "name", ["pytorch_model.bin", "onnx/model.onnx", "openvino/config.json", "other.gguf", "x.bin"]
)
@pytest.mark.parametrize("allow_bin", [False, True])
def test_files_that_are_not_downloaded_do_not_count(
    repository: Repository, tmp_path: Path, name: str, allow_bin: bool
) -> None:
    repository.sizes[name] = 2**40
    assert inspected(tmp_path, allow_bin=allow_bin).format == "safetensors"


def test_pickles_count_where_they_are_converted(repository: Repository, tmp_path: Path) -> None:
    repository.sizes = {"pytorch_model.bin": 3 * 2**30}
    with pytest.raises(ModelRefusedError, match=r"its files have 3\.0 GiB"):
        inspected(tmp_path, allow_bin=True)
    assert inspected(tmp_path, max_gb=4.0, allow_bin=True).format == "pickle"


def test_a_huge_configuration_is_not_downloaded(repository: Repository, tmp_path: Path) -> None:
    repository.sizes["config.json"] = 2**40
    with pytest.raises(ModelRefusedError, match=r"config\.json has more than"):
        inspected(tmp_path)
    assert repository.fetched == []


def test_a_huge_readme_is_left_out(repository: Repository, tmp_path: Path) -> None:
    repository.sizes["README.md"] = 2**21
    assert inspected(tmp_path).kinds[0].tasks == ("embed",)
    assert repository.fetched == ["config.json"]


def test_a_repository_of_gguf_files_alone_is_refused(
    repository: Repository, tmp_path: Path
) -> None:
    repository.files = {}
    repository.sizes = {"model.Q4.gguf": 10, "model.Q8.gguf": 20}
    with pytest.raises(ModelRefusedError, match="only GGUF files"):
        inspected(tmp_path)


@pytest.mark.parametrize("kind", [errors.RepositoryNotFoundError, errors.RevisionNotFoundError])
def test_a_repository_that_is_not_there_is_no_model(
    repository: Repository, tmp_path: Path, kind: type[errors.HfHubHTTPError]
) -> None:
    response: Any = SimpleNamespace(headers={}, request=None)
    repository.error = kind("missing", response=response)
    with pytest.raises(ModelNotThereError):
        inspected(tmp_path)


def test_a_repository_whose_owner_asks_for_consent_is_there(
    repository: Repository, tmp_path: Path
) -> None:
    response: Any = SimpleNamespace(headers={}, request=None)
    repository.error = errors.GatedRepoError("gated", response=response)
    with pytest.raises(HubUnavailableError, match="asks for consent"):
        inspected(tmp_path)


def test_a_hub_that_cannot_be_reached_is_unavailable(
    repository: Repository, tmp_path: Path
) -> None:
    repository.error = ConnectionError("no network")
    with pytest.raises(HubUnavailableError, match="cannot be reached"):
        inspected(tmp_path)
