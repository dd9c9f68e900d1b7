"""The standard suites' tests that are known to fail; one that passes all the same fails the run."""

from __future__ import annotations

import pytest

UNASKED = "the model is too small to call a tool that it does not have to call"
NO_SCHEMA = "without a schema the model is too small to write the keys that it is asked for"

KNOWN = {
    "TestTorch::test_json_mode": NO_SCHEMA,
    "TestTorch::test_agent_loop[model0]": UNASKED,
    "TestTorch::test_agent_loop[model1]": UNASKED,
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if reason := KNOWN.get(item.nodeid.partition("::")[2]):
            item.add_marker(pytest.mark.xfail(reason=reason, strict=True))
