"""Distributes tests over two processes, and keeps logs of starts in a temporary directory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

from serve_app.launcher.logs import DIRECTORY

STARTS_RAY = ("tests/e2e/", "tests/deployments/test_scheduling.py")


@pytest.fixture(scope="session", autouse=True)
def logs_of_starts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Logs of starts are kept beside the tests' own files and not in the user's directory."""
    directory = tmp_path_factory.mktemp("logs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(DIRECTORY, str(directory))
        yield directory


class ByFolder(LoadScopeScheduling):  # type: ignore[misc]  # untyped
    """Runs the tests of a folder in one process, and all tests that start Ray in one.

    The plugin's own groups, by marks, rewrite test names, which pytest 9.2 ignores.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return "graphs" if file.startswith(STARTS_RAY) else file.rpartition("/")[0]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByFolder:
    return ByFolder(config, log)
