"""How tests are distributed over processes."""

from __future__ import annotations

from xdist.scheduler import LoadScopeScheduling

FIRST = ("tests/e2e/", "tests/deployments/models/test_thread_priority.py")
"""What starts graphs, and what compares priorities, which are the usual ones there alone."""


class ByFolder(LoadScopeScheduling):  # type: ignore[misc]  # untyped
    """Runs the tests of a folder in one process, and all tests that start graphs in the first.

    Those are the most, and the most go to the first process (``tests/conftest.py`` counts on it).
    The plugin's own groups, by marks, rewrite test names, which pytest 9.2 ignores.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return "graphs" if file.startswith(FIRST) else file.rpartition("/")[0]
