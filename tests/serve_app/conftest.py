"""What tests of the ingress share: settings that come from nobody's environment."""

from __future__ import annotations

import os

import pytest

from configs.settings import PREFIX


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(name)
