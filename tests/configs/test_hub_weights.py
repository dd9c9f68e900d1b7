"""Weights of the Hugging Face Hub: which files are fetched, once, and in which revision."""

from __future__ import annotations

import fnmatch
import json
from pathlib import Path
from typing import Any

import pytest

from configs.weights import (
    RECORD_FILE,
    HubSource,
    HubUnavailableError,
    NoSafeWeightsError,
    WeightsStep,
    materialise,
)
from configs.weights.hub import downloaded
from tests.configs.conftest import silent

COMMIT = "1" * 40
NEWER = "2" * 40


class FakeHub:
    """Replaces ``snapshot_download``: it writes the files of a dictionary in the hub's layout."""

    def __init__(self, files: dict[str, str]) -> None:
        self.files = files
        self.head = COMMIT
        self.reachable = True
        self.asked: list[str | None] = []
        self.tokens: set[str | None] = set()

    def __call__(
        self,
        repo_id: str,
        *,
        revision: str | None,
        cache_dir: Path,
        token: str | None,
        allow_patterns: list[str],
        ignore_patterns: list[str] | None,
        tqdm_class: type[Any],
    ) -> str:
        from huggingface_hub.errors import LocalEntryNotFoundError

        if not self.reachable:
            raise LocalEntryNotFoundError("no network")
        self.asked.append(revision)
        self.tokens.add(token)
        snapshot = cache_dir / repo_id.replace("/", "--") / "snapshots" / (revision or self.head)
        snapshot.mkdir(parents=True, exist_ok=True)
        bar = tqdm_class(total=0, initial=0, unit="B")
        for name, text in self.files.items():
            wanted = any(fnmatch.fnmatch(name, pattern) for pattern in allow_patterns)
            if wanted and not any(fnmatch.fnmatch(name, p) for p in ignore_patterns or ()):
                bar.total += len(text)
                bar.update(len(text))
                (snapshot / name).parent.mkdir(parents=True, exist_ok=True)
                (snapshot / name).write_text(text)
        return str(snapshot)

    def file(self, repo_id: str, name: str, **options: Any) -> str:
        from huggingface_hub.errors import LocalEntryNotFoundError

        if not self.reachable or name not in self.files:
            raise LocalEntryNotFoundError("there is no such file")
        return name


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> FakeHub:
    fake = FakeHub({"config.json": "{}", "model.safetensors": "w", "onnx/model.onnx": "o"})
    monkeypatch.setattr("huggingface_hub.snapshot_download", fake)
    monkeypatch.setattr("huggingface_hub.hf_hub_download", fake.file)
    return fake


# The hub


def test_the_hub_gives_safetensors_without_other_exports(hub: FakeHub, tmp_path: Path) -> None:
    hub.files["pytorch_model.bin"] = "pickle"
    folder = materialise(HubSource(hub="org/model"), tmp_path / "cache", progress=silent)
    assert {f.name for f in folder.iterdir()} == {"config.json", "model.safetensors", RECORD_FILE}
    assert json.loads((folder / RECORD_FILE).read_text())["revision"] == COMMIT


PIPELINE = {
    "model_index.json": "{}",
    "everything.safetensors": "w",
    "unet/config.json": "{}",
    "unet/diffusion_pytorch_model.safetensors": "w",
    "unet/diffusion_pytorch_model.fp16.safetensors": "w",
    "unet/diffusion_pytorch_model.non_ema.safetensors": "w",
    "unet/diffusion_pytorch_model.bin": "p",
    "vae/config.json": "{}",
    "vae/diffusion_pytorch_model.fp16.safetensors": "w",
    "scheduler/scheduler_config.json": "{}",
    "tokenizer/merges.txt": "m",
}


def test_a_pipeline_is_fetched_without_its_variants_and_the_whole_in_one_file(
    hub: FakeHub, tmp_path: Path
) -> None:
    hub.files = PIPELINE
    folder = materialise(HubSource(hub="org/pipeline"), tmp_path, progress=silent)
    there = {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()}
    expected = {
        "model_index.json",
        "unet/config.json",
        "unet/diffusion_pytorch_model.safetensors",
        "vae/config.json",
        "vae/diffusion_pytorch_model.fp16.safetensors",
        "scheduler/scheduler_config.json",
        "tokenizer/merges.txt",
    }
    assert there - {RECORD_FILE} == expected
    assert downloaded(HubSource(hub="org/pipeline"), PIPELINE) == expected


def test_what_was_fetched_is_used_offline(hub: FakeHub, tmp_path: Path) -> None:
    first = materialise(HubSource(hub="org/model"), tmp_path / "cache", progress=silent)
    hub.reachable = False
    assert materialise(HubSource(hub="org/model"), tmp_path / "cache", progress=silent) == first


def test_the_revision_found_first_is_fetched_again(hub: FakeHub, tmp_path: Path) -> None:
    materialise(HubSource(hub="org/model"), tmp_path / "cache", progress=silent)
    hub.head = NEWER
    again = HubSource(hub="org/model", allow_bin=True)
    folder = materialise(again, tmp_path / "cache", progress=silent)
    assert json.loads((folder / RECORD_FILE).read_text())["revision"] == COMMIT


def test_a_pinned_revision_is_asked_for(hub: FakeHub, tmp_path: Path) -> None:
    materialise(HubSource(hub="org/model", revision=NEWER), tmp_path / "cache", progress=silent)
    assert hub.asked == [NEWER]


def test_a_hub_that_cannot_be_reached_is_an_error_that_says_what_to_do(
    hub: FakeHub, tmp_path: Path
) -> None:
    hub.reachable = False
    with pytest.raises(HubUnavailableError, match="check the network"):
        materialise(HubSource(hub="org/model"), tmp_path / "cache", progress=silent)
    assert not list((tmp_path / "cache" / "models").iterdir())
    assert not list((tmp_path / "cache" / "partial").iterdir())


def test_the_token_is_not_stored(hub: FakeHub, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    materialise(HubSource(hub="org/model"), cache, token="hf_secret", progress=silent)
    assert hub.tokens == {"hf_secret"}
    assert not any("hf_secret" in f.read_text() for f in cache.rglob("*") if f.is_file())


@pytest.mark.usefixtures("hub")
def test_one_file_of_a_repository_comes_alone(tmp_path: Path) -> None:
    source = HubSource(hub="org/model", path="onnx/model.onnx")
    folder = materialise(source, tmp_path / "cache", progress=silent)
    assert {file.name for file in folder.iterdir()} == {"model.onnx", RECORD_FILE}


def test_a_bin_is_refused_unless_the_profile_allows_it(
    hub: FakeHub, tmp_path: Path, recipe: list[str]
) -> None:
    hub.files = {"config.json": "{}", "pytorch_model.bin": "pickle"}
    with pytest.raises(NoSafeWeightsError, match="allow_bin: true"):
        materialise(HubSource(hub="org/old"), tmp_path / "cache", progress=silent)
    assert recipe == []
    allowed = HubSource(hub="org/old", allow_bin=True)
    folder = materialise(allowed, tmp_path / "cache", progress=silent)
    assert recipe == ["pickle-safetensors"]
    assert (folder / "model.safetensors").is_file()


def test_each_download_of_a_repository_counts_from_zero(
    hub: FakeHub, tmp_path: Path, recipe: list[str]
) -> None:
    hub.files = {"config.json": "{}" * 50, "pytorch_model.bin": "pickle"}
    steps: list[WeightsStep] = []
    source = HubSource(hub="org/old", allow_bin=True)
    materialise(source, tmp_path / "cache", progress=steps.append)
    counts = [(step.done, step.total) for step in steps if step.stage == "fetching" and step.done]
    assert counts == [(100, 100), (6, 6)]
    assert recipe == ["pickle-safetensors"]
