"""The playground as somebody uses it who has a keyboard and no pointer."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

NATIVE = "/api/v1/huggingface"
LIMIT_S = 120
MAX_TABS = 150
LOCAL = {"data", "blob", "about"}
PANELS = ("chat", "vectors", "texts", "images", "graph", "live", "server")


class Page:
    """One page in a browser. Everything is done with keys that go to what has the focus."""

    def __init__(self, browser: webdriver.Chrome, url: str) -> None:
        self.browser = browser
        self.url = url
        self.requests: list[dict[str, Any]] = []

    def open(self) -> None:
        """Load the page without anything that an earlier one left, and wait for the models."""
        self.browser.get_log("performance")
        self.browser.get_log("browser")
        self.browser.get(self.url)
        self.browser.execute_script("localStorage.clear(); sessionStorage.clear()")
        self.browser.get(self.url)
        self.until(lambda: self.one("#chat-model").get_attribute("value"))

    def one(self, selector: str) -> WebElement:
        return self.browser.find_element(By.CSS_SELECTOR, selector)

    def all(self, selector: str) -> list[WebElement]:
        return self.browser.find_elements(By.CSS_SELECTOR, selector)

    def texts(self, selector: str) -> list[str]:
        return [each.text for each in self.all(selector)]

    def script(self, code: str, *arguments: Any) -> Any:
        return self.browser.execute_script(code, *arguments)

    def until(self, condition: Callable[[], Any]) -> Any:
        """Wait until the condition holds; the page may replace elements meanwhile."""
        waiting = WebDriverWait(
            self.browser, LIMIT_S, ignored_exceptions=[StaleElementReferenceException]
        )
        return waiting.until(lambda _: condition())

    @property
    def focused(self) -> WebElement:
        return self.browser.switch_to.active_element

    def press(self, *keys: str) -> None:
        """Type keys into whatever has the focus."""
        ActionChains(self.browser).send_keys(*keys).perform()

    def go_to(self, selector: str) -> None:
        """Press Tab until the element has the focus, which must be visible there."""
        wanted = self.one(selector)
        for _ in range(MAX_TABS):
            if self.focused == wanted:
                outline = self.script("return getComputedStyle(arguments[0]).outlineStyle", wanted)
                assert outline != "none", f"the focus on {selector} cannot be seen"
                return
            self.press(Keys.TAB)
        raise AssertionError(f"{selector} is not reached with Tab")

    def write(self, selector: str, text: str) -> None:
        """Replace what is in a field."""
        self.go_to(selector)
        ActionChains(self.browser).key_down(Keys.CONTROL).send_keys("a").key_up(
            Keys.CONTROL
        ).send_keys(Keys.DELETE, text).perform()

    def choose(self, selector: str, beginning: str) -> None:
        """Choose the option that begins so, by typing its beginning."""
        self.go_to(selector)
        self.press(beginning)
        shown = self.script(
            "return arguments[0].selectedOptions[0]?.textContent", self.one(selector)
        )
        assert shown.startswith(beginning), shown

    def activate(self, selector: str) -> None:
        """Press a button."""
        self.go_to(selector)
        self.press(Keys.SPACE)

    def show(self, panel: str) -> None:
        """Select a tab with arrow keys."""
        self.go_to('[role="tab"][aria-selected="true"]')
        for _ in PANELS:
            if self.focused.get_attribute("aria-controls") == panel:
                break
            self.press(Keys.ARROW_RIGHT)
        assert self.one(f"#{panel}").is_displayed()

    def error(self) -> str:
        """The text of the error that is shown, which is announced at once."""
        return str(self.until(lambda: "\n".join(self.texts('[role="alert"]'))))

    def sent(self, path: str) -> list[dict[str, Any]]:
        """The requests to a path that the page has sent, with their headers and bodies."""
        self._read_log()
        return [each for each in self.requests if urlsplit(each["url"]).path == path]

    def foreign_requests(self) -> list[str]:
        """Addresses of other servers that the page has tried to reach."""
        self._read_log()
        own = urlsplit(self.url).netloc
        urls = [urlsplit(each["url"]) for each in self.requests]
        assert any(url.netloc == own for url in urls), "the log of requests is empty"
        return [url.geturl() for url in urls if url.scheme not in LOCAL and url.netloc != own]

    def complaints(self) -> list[str]:
        """What the console says of broken rules and of errors that nothing caught."""
        said = [entry["message"] for entry in self.browser.get_log("browser")]
        return [each for each in said if "Uncaught" in each or "Content Security Policy" in each]

    def _read_log(self) -> None:
        for entry in self.browser.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                self.requests.append(message["params"]["request"])
