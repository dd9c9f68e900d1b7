import fcntl
import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from serve_app.launcher import runs
from serve_app.launcher.node import PREFIX as NODE_PREFIX

DYING_LAUNCHER = """
import os, sys
from pathlib import Path
from serve_app.launcher import runs
own = runs.create(Path(sys.argv[1]))
own.update(first_port=20000, dashboard_url="http://127.0.0.1:8265")
print(own.run.id, flush=True)
os.kill(os.getpid(), 9)
"""


def test_a_run_is_live_while_its_launcher_locks_it_and_leaves_nothing(tmp_path: Path) -> None:
    own = runs.create(tmp_path)
    own.update(dashboard_port=8265)
    assert [run.dashboard_port for run in runs.live(tmp_path)] == [8265]
    assert runs.dead(tmp_path) == []
    own.remove()
    assert runs.live(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_only_this_user_can_read_a_run_directory(tmp_path: Path) -> None:
    own = runs.create(tmp_path)
    assert stat.S_IMODE(own.run.path.stat().st_mode) == 0o700
    own.remove()


def test_a_run_whose_launcher_was_killed_is_dead_with_its_record(tmp_path: Path) -> None:
    run_id = _killed_launcher(tmp_path)
    (run,) = runs.dead(tmp_path)
    assert (run.id, run.first_port) == (run_id, 20000)
    assert run.launcher_pid != os.getpid()
    assert runs.live(tmp_path) == []
    runs.remove(run)
    assert runs.dead(tmp_path) == []


def test_a_directory_without_a_readable_record_is_still_a_dead_run(tmp_path: Path) -> None:
    run_id = _killed_launcher(tmp_path)
    (tmp_path / f"prsm-{run_id}" / "run.json").write_text("{half")
    assert [run.id for run in runs.dead(tmp_path)] == [run_id]


def test_links_and_files_named_like_runs_are_ignored(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "prsm-link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "prsm-0.lock").write_text("")
    assert runs.dead(tmp_path) == []


def test_the_directory_of_a_node_is_not_a_run_of_a_launcher(tmp_path: Path) -> None:
    """A start on the same machine would remove the files of its HAProxy."""
    with tempfile.TemporaryDirectory(prefix=NODE_PREFIX, dir=tmp_path):
        assert runs.dead(tmp_path) == []


def test_starts_wait_for_each_other_in_a_directory_of_their_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    with runs.registry_lock():
        (lock,) = tmp_path.rglob("*.lock")
        assert lock.parent == tmp_path / "state" / "prsm-serve"
        assert stat.S_IMODE(lock.parent.stat().st_mode) == 0o700
        with lock.open() as other, pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    with lock.open() as other:
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_user_without_a_directory_starts_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    with runs.registry_lock():
        assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_the_newest_start_comes_first(tmp_path: Path) -> None:
    owns = [runs.create(tmp_path) for _ in range(2)]
    owns[0].update(started_at=1)
    owns[1].update(started_at=2)
    assert [run.id for run in runs.live(tmp_path)] == [owns[1].run.id, owns[0].run.id]
    for own in owns:
        own.remove()


def test_a_temporary_directory_too_long_for_sockets_is_not_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tempfile.gettempdir", lambda: "/" + "long" * 20)
    assert str(runs.base_directory()) == "/tmp"


def _killed_launcher(base: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", DYING_LAUNCHER, str(base)],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert done.returncode == -9, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize(("url", "port"), [("http://[::1]:8001", 8001), ("", None)])
def test_a_run_has_the_port_of_its_front_once_that_is_known(url: str, port: int | None) -> None:
    assert runs.RunRecord("0", "/tmp/prsm-0", 1, 0.0, url=url).port == port
