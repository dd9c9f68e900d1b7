"""Weights are converted once, anew after a change, and never used half converted."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from configs.weights import RECORD_FILE, ConversionFailedError, FolderSource, materialise
from tests.configs.conftest import silent

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
