"""The playground can be read, heard and reached: themes, contrast, narrow screens, names, tabs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from selenium.webdriver.common.keys import Keys

from .page import PANELS, Page

MIN_CONTRAST = 4.5
"""WCAG 2.2, 1.4.3, level AA."""
CONTRASTS = """
const canvas = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
const over = (colors) => {
  canvas.clearRect(0, 0, 1, 1);
  for (const color of colors) { canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1); }
  return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
};
const linear = (v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
const light = (rgb) => {
  const [r, g, b] = rgb.map((v) => linear(v / 255));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const behind = (element) => {
  const colors = [];
  for (let each = element; each; each = each.parentElement) {
    colors.unshift(getComputedStyle(each).backgroundColor);
  }
  return colors;
};
const found = [];
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const element = walker.currentNode.parentElement;
  const shown = element.checkVisibility() && !element.closest(".unseen, option, svg, script");
  if (!walker.currentNode.data.trim() || !shown) continue;
  const below = behind(element);
  const text = light(over([...below, getComputedStyle(element).color]));
  const ground = light(over(below));
  const ratio = (Math.max(text, ground) + 0.05) / (Math.min(text, ground) + 0.05);
  found.push([walker.currentNode.data.trim().slice(0, 40), ratio]);
}
return found;
"""


@pytest.fixture(params=["light", "dark"])
def theme(request: pytest.FixtureRequest, page: Page) -> Iterator[str]:
    prefer(page, request.param)
    yield request.param
    prefer(page, "")


def prefer(page: Page, scheme: str) -> None:
    feature = {"name": "prefers-color-scheme", "value": scheme}
    page.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})


def background(page: Page) -> str:
    return str(page.script("return getComputedStyle(document.body).backgroundColor"))


def fill_panels(page: Page) -> None:
    """Have something to read in the panels whose answers come at once."""
    page.show("vectors")
    page.activate('#vectors [value="matrix"]')
    page.until(lambda: page.all(".matrix"))
    page.show("texts")
    page.activate('#texts [value="entities"]')
    page.until(lambda: page.all("mark"))
    page.show("images")
    page.activate("#images .main")
    page.error()


def test_every_text_has_enough_contrast_in_both_themes(page: Page, theme: str) -> None:
    fill_panels(page)
    seen = 0
    for panel in PANELS:
        page.show(panel)
        measured = page.script(CONTRASTS)
        seen += len(measured)
        assert [each for each in measured if each[1] < MIN_CONTRAST] == [], panel
    assert seen > 200


def test_the_theme_follows_the_system_until_one_is_chosen(page: Page) -> None:
    prefer(page, "dark")
    dark = background(page)
    prefer(page, "light")
    light = background(page)
    assert dark != light
    page.choose("#theme", "Dark")
    assert background(page) == dark
    page.browser.refresh()
    page.until(lambda: background(page) == dark)
    page.choose("#theme", "System")
    assert background(page) == light


def test_tabs_take_arrow_keys_and_the_ends_and_the_address_keeps_the_panel(page: Page) -> None:
    page.go_to("#tab-chat")
    page.press(Keys.ARROW_LEFT)
    assert page.focused.get_attribute("id") == "tab-server"
    page.press(Keys.HOME)
    assert page.focused.get_attribute("id") == "tab-chat"
    page.press(Keys.END, Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    assert page.focused.get_attribute("id") == "tab-vectors"
    selected = [tab.get_attribute("aria-selected") for tab in page.all('[role="tab"]')]
    assert selected.count("true") == 1
    order = [tab.get_attribute("tabindex") for tab in page.all('[role="tab"]')]
    assert order.count("0") == 1
    page.press(Keys.TAB)
    assert page.focused.get_attribute("role") == "tabpanel"
    page.browser.refresh()
    page.until(lambda: page.one("#vectors").is_displayed())
    assert not page.one("#chat").is_displayed()


def test_everything_that_takes_the_focus_has_a_name(page: Page) -> None:
    fill_panels(page)
    for panel in PANELS:
        page.show(panel)
        tree = page.browser.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
        focusable = [
            node
            for node in tree
            if any(
                each["name"] == "focusable" and each["value"]["value"]
                for each in node.get("properties", ())
            )
            and node["role"]["value"] != "RootWebArea"
        ]
        assert len(focusable) > 8
        nameless = [node["role"]["value"] for node in focusable if not node["name"]["value"]]
        assert nameless == [], panel


def test_a_narrow_screen_scrolls_one_way(page: Page) -> None:
    size = {"width": 360, "height": 740, "deviceScaleFactor": 1, "mobile": False}
    fill_panels(page)
    page.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        for panel in PANELS:
            page.show(panel)
            width = page.script("return document.scrollingElement.scrollWidth")
            assert width <= size["width"], panel
    finally:
        page.browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
