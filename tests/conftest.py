"""Distributes tests over two processes, and keeps logs of starts in a temporary directory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from serve_app.launcher.logs import DIRECTORY

FIRST_PROCESS = "gw0"
"""The one that starts graphs; see :mod:`tests.by_folder`."""


def pytest_configure(config: pytest.Config) -> None:
    """Let the second process of the tests compute on what the first one's graph leaves.

    A graph's threads wait for each other: one that loses its core to a test holds all of them up,
    while the tests beside it lose nothing by computing later, each on one thread.
    """
    if getattr(config, "workerinput", {}).get("workerid", FIRST_PROCESS) != FIRST_PROCESS:
        os.nice(10)
        os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session", autouse=True)
def logs_of_starts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Logs of starts are kept beside the tests' own files and not in the user's directory."""
    directory = tmp_path_factory.mktemp("logs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(DIRECTORY, str(directory))
        yield directory


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    from tests.by_folder import ByFolder  # imports xdist, which only this hook needs

    return ByFolder(config, log)
