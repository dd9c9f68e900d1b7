"""How tests are distributed over processes."""

from __future__ import annotations

from xdist.scheduler import LoadScopeScheduling

STARTS_RAY = ("tests/e2e/", "tests/deployments/test_scheduling.py")


class ByFolder(LoadScopeScheduling):  # type: ignore[misc]  # untyped
    """Runs the tests of a folder in one process, and all tests that start Ray in one.

    The plugin's own groups, by marks, rewrite test names, which pytest 9.2 ignores.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return "graphs" if file.startswith(STARTS_RAY) else file.rpartition("/")[0]
