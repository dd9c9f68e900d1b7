"""Logs are kept after their start has ended, within bounds."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from serve_app.launcher import logs, runs
from serve_app.launcher.logs import DIRECTORY, keep_logs, logs_directory


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory of kept logs."""
    monkeypatch.setenv(DIRECTORY, str(tmp_path / "kept"))
    return tmp_path / "kept"


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """The directory of run directories."""
    (tmp_path / "base").mkdir()
    return tmp_path / "base"


def write(run: Path, name: str, content: str) -> None:
    path = run / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)


def test_logs_of_ray_and_serve_are_kept_after_the_run_directory_is_removed(
    base: Path, kept: Path
) -> None:
    own = runs.create(base)
    write(own.run.path, "head.log", "Ray did not start")
    write(own.run.path, "r/session_1/logs/serve/replica_x.log", "request abc failed")
    (own.run.path / "r/session_latest").symlink_to("session_1")
    directory = own.remove()
    assert not own.run.path.exists()
    assert directory is not None
    assert directory.parent == kept
    assert (directory / "head.log").read_text() == "Ray did not start"
    assert (directory / "ray/serve/replica_x.log").read_text() == "request abc failed"


def test_a_run_whose_launcher_was_killed_keeps_its_logs_too(base: Path, kept: Path) -> None:
    own = runs.create(base)
    write(own.run.path, "head.log", "killed")
    own._lock.close()
    (dead,) = runs.dead(base)
    runs.remove(dead)
    (log,) = kept.glob("*/head.log")
    assert log.read_text() == "killed"


def test_a_long_log_keeps_its_end(base: Path, kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "KEPT_BYTES", 4)
    write(base, "head.log", "begin and end!")
    directory = keep_logs(base, "r", {DIRECTORY: str(kept)})
    assert directory is not None
    assert (directory / "head.log").read_bytes() == logs.CUT + b"end!"


def test_all_files_of_a_start_share_a_bound_and_serves_come_first(
    base: Path, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "KEPT_BYTES_OF_A_START", 5)
    write(base, "r/session_1/logs/a.log", "raylet")
    write(base, "r/session_1/logs/serve/b.log", "serve")
    directory = keep_logs(base, "r", {DIRECTORY: str(kept)})
    assert directory is not None
    assert [path.name for path in directory.rglob("*.log")] == ["b.log"]


def test_logs_of_the_oldest_starts_are_removed(base: Path, kept: Path) -> None:
    write(base, "head.log", "x")
    for number in range(logs.KEPT_STARTS + 3):
        keep_logs(base, f"{number:06x}", {DIRECTORY: str(kept)})
    assert len(list(kept.iterdir())) == logs.KEPT_STARTS


def test_other_files_in_that_directory_are_left_alone(base: Path, kept: Path) -> None:
    theirs = [".ssh", "Documents", "a", "b", "c", "d", "20261129-010203-mine"]
    for name in theirs:
        (kept / name).mkdir(parents=True)
    write(base, "head.log", "x")
    for number in range(logs.KEPT_STARTS + 1):
        keep_logs(base, f"{number:06x}", {DIRECTORY: str(kept)})
    assert set(theirs) < {path.name for path in kept.iterdir()}


def test_other_users_cannot_read_the_logs(base: Path, kept: Path) -> None:
    write(base, "r/session_1/logs/serve/b.log", "POST /v1/chat/completions")
    directory = keep_logs(base, "00beef", {DIRECTORY: str(kept)})
    assert directory is not None
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert stat.S_IMODE((directory / "ray").stat().st_mode) == 0o700


def test_one_log_that_cannot_be_read_does_not_lose_the_others(base: Path, kept: Path) -> None:
    (base / "a.log").symlink_to(base / "gone")
    write(base, "head.log", "x")
    directory = keep_logs(base, "00beef", {DIRECTORY: str(kept)})
    assert directory is not None
    assert (directory / "head.log").read_text() == "x"


def test_a_start_without_logs_keeps_nothing(base: Path, kept: Path) -> None:
    assert runs.create(base).remove() is None
    assert not kept.exists()


def test_a_start_ends_well_although_its_logs_cannot_be_kept(base: Path, tmp_path: Path) -> None:
    write(base, "head.log", "x")
    (tmp_path / "file").write_text("in the way")
    assert keep_logs(base, "r", {DIRECTORY: str(tmp_path / "file" / "below")}) is None


def test_logs_are_below_the_users_state_directory_unless_a_variable_says_otherwise() -> None:
    assert logs_directory({"XDG_STATE_HOME": "/state"}) == Path("/state/prsm-serve/logs")
    assert logs_directory({DIRECTORY: "/here"}) == Path("/here")
    assert logs_directory({}).name == "logs"
