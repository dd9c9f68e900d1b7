"""A Chromium that can reach this machine alone, and the playground in it."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from selenium import webdriver

from .page import Page

ARGUMENTS = (
    "--headless=new",
    "--no-sandbox",  # root of a container has none
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--window-size=1280,900",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)


@pytest.fixture(scope="session")
def browser() -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location = os.environ["PRSM_CLIENTS_CHROMIUM"]
    for argument in ARGUMENTS:
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    service = webdriver.ChromeService(os.environ["PRSM_CLIENTS_CHROMEDRIVER"])
    started = webdriver.Chrome(options, service)
    yield started
    started.quit()


@pytest.fixture
def page(browser: webdriver.Chrome) -> Iterator[Page]:
    """The playground, opened anew. Whatever a test does, the page asks only its own server, and
    breaks no rule of its policy."""
    opened = Page(browser, os.environ["PRSM_CLIENTS_URL"])
    opened.open()
    yield opened
    assert opened.foreign_requests() == []
    assert opened.complaints() == []
