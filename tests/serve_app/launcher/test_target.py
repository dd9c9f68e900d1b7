import os
from pathlib import Path

import pytest

from serve_app.launcher import runs
from serve_app.launcher.auth import TOKEN
from serve_app.launcher.target import DEFAULT_URL, TargetError, status_target


def start(base: Path, port: int, dashboard_port: int) -> runs.LockedRun:
    """A start of this machine that has a token of its own."""
    own = runs.create(base)
    token = own.run.path / "token"
    token.write_text(f"secret-{port}")
    dashboard = f"http://127.0.0.1:{dashboard_port}"
    own.update(dashboard_url=dashboard, token_path=str(token), url=f"http://127.0.0.1:{port}")
    return own


def test_of_several_starts_the_one_with_the_port_is_asked_with_its_token(tmp_path: Path) -> None:
    started = [start(tmp_path, 8000, 8270), start(tmp_path, 8001, 8271)]
    asked = [status_target(None, {}, tmp_path, port) for port in (8000, 8001)]
    assert asked == [
        ("http://127.0.0.1:8270", "secret-8000"),
        ("http://127.0.0.1:8271", "secret-8001"),
    ]
    assert status_target("127.0.0.1:8271", {}, tmp_path, 8000) == asked[0]
    for own in started:
        own.remove()


def test_of_several_starts_none_is_chosen_without_a_port(tmp_path: Path) -> None:
    started = [start(tmp_path, 8000, 8270), start(tmp_path, 8001, 8271)]
    with pytest.raises(TargetError, match=r"--port: .*port 8001.*8271.*port 8000.*8270"):
        status_target(None, {}, tmp_path)
    for own in started:
        own.remove()


def test_a_start_that_runs_is_not_taken_for_one_that_is_still_starting(tmp_path: Path) -> None:
    ready, starting = start(tmp_path, 8000, 8270), runs.create(tmp_path)
    starting.update(url="http://127.0.0.1:8001")
    with pytest.raises(TargetError, match=r"several graphs .*--port"):
        status_target(None, {}, tmp_path)
    assert status_target(None, {}, tmp_path, 8000)[0] == "http://127.0.0.1:8270"
    for own in (ready, starting):
        own.remove()


def test_starts_that_joined_one_cluster_have_one_dashboard(tmp_path: Path) -> None:
    started = [start(tmp_path, 8000, 8270), start(tmp_path, 8000, 8270)]
    assert status_target(None, {}, tmp_path)[0] == "http://127.0.0.1:8270"
    for own in started:
        own.remove()


@pytest.mark.parametrize("port", [None, 8000])
def test_a_start_whose_ray_does_not_run_yet_is_reported_as_starting(
    tmp_path: Path, port: int | None
) -> None:
    own = runs.create(tmp_path)
    own.update(url="http://127.0.0.1:8000")
    with pytest.raises(TargetError, match="still starting: port 8000"):
        status_target(None, {}, tmp_path, port)
    own.remove()


def test_a_port_that_no_start_has_is_refused_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(TargetError, match=r"port 8001$"):
        status_target(None, {}, tmp_path, 8001)
    own = start(tmp_path, 8000, 8270)
    with pytest.raises(TargetError, match="port 8001; there are: port 8000 with dashboard"):
        status_target(None, {}, tmp_path, 8001)
    own.remove()


def test_the_only_start_of_this_machine_is_asked_with_its_token(tmp_path: Path) -> None:
    own = runs.create(tmp_path)
    token = own.run.path / "token"
    token.write_text("secret")
    own.update(dashboard_url="http://127.0.0.1:8270", token_path=str(token))
    assert status_target(None, {}, tmp_path) == ("http://127.0.0.1:8270", "secret")
    assert status_target("127.0.0.1:8270", {}, tmp_path) == ("http://127.0.0.1:8270", "secret")
    own.remove()


def test_a_given_address_is_asked_with_the_environments_token(tmp_path: Path) -> None:
    assert status_target("head:8265/", {TOKEN: "t"}, tmp_path) == ("http://head:8265", "t")


def test_without_a_start_rays_own_default_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert status_target(None, os.environ, tmp_path)[0] == DEFAULT_URL
