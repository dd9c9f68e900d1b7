"""The playground in a real Chromium against the running graph, offline and from the keyboard."""

from __future__ import annotations

import shutil

import pytest

from tests.long.client_environment import run_tests


def test_playground(base_url: str) -> None:
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver is None:
        pytest.skip("no Chromium is here (Debian: apt-get install chromium chromium-driver)")
    run_tests(
        "playground", base_url, PRSM_CLIENTS_CHROMIUM=chromium, PRSM_CLIENTS_CHROMEDRIVER=driver
    )
