from __future__ import annotations

import platform
from importlib.metadata import version

import pytest

from deployments.metrics import build_info as module
from deployments.metrics.build_info import build_info


def test_it_has_the_versions_of_what_is_installed() -> None:
    labels = build_info().labels
    assert labels[1:] == (
        version("ray"),
        version("transformers"),
        version("torch"),
        platform.python_version(),
    )


def test_code_that_is_not_installed_has_no_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PACKAGES", ("prsm-serve-from-a-folder", "ray"))
    assert build_info().labels[:2] == ("unknown", version("ray"))
