"""The panels of vectors, texts and live figures do what they are for, from the keyboard alone."""

from __future__ import annotations

import json
from urllib.request import Request, urlopen

from selenium.webdriver.common.keys import Keys

from .page import NATIVE, Page


def test_a_key_goes_with_requests_and_is_kept_for_this_tab_alone(page: Page) -> None:
    page.write("#api-key", "sk-test")
    page.press(Keys.TAB)
    page.show("texts")
    page.activate('#texts [value="sentiment"]')
    page.until(lambda: page.all("#texts table"))
    (request,) = page.sent(f"{NATIVE}/classify")
    assert request["headers"]["Authorization"] == "Bearer sk-test"
    assert page.script("return sessionStorage.getItem('api-key')") == "sk-test"
    kept = page.script("return JSON.stringify(localStorage) + document.cookie")
    assert "sk-test" not in kept
    assert all("sk-test" not in each["url"] for each in page.requests)


def test_similar_texts_have_the_warmer_cells(page: Page) -> None:
    page.show("vectors")
    page.write("#vectors-texts", "a kitten")
    page.press(Keys.ENTER, "a cat", Keys.ENTER, "a share")
    page.activate('#vectors [value="matrix"]')
    page.until(lambda: page.all(".matrix"))
    cells = [float(text.replace("−", "-")) for text in page.texts(".matrix td")]
    assert len(cells) == 9
    assert cells[0] == cells[4] == cells[8] == 1
    assert cells[1] == cells[3] > cells[2] == cells[6]
    shares = page.script(
        "return [...document.querySelectorAll('.matrix td')]"
        ".map((each) => parseFloat(each.style.getPropertyValue('--share')))"
    )
    assert shares[0] > shares[1] > shares[2]


def test_clusters_are_drawn_and_listed(page: Page) -> None:
    page.show("vectors")
    page.activate('#vectors [value="clusters"]')
    page.until(lambda: page.all(".chart"))
    assert len(page.all(".point")) == 8
    assert len(page.all(".center")) == 3
    lists = [each.text for each in page.all("#vectors-result ul")]
    assert any("The cat sleeps" in each and "A kitten naps" in each for each in lists)
    places = page.script(
        "return [...document.querySelectorAll('.point')]"
        ".map((each) => [+each.getAttribute('cx'), +each.getAttribute('cy')])"
    )

    def apart(one: int, other: int) -> float:
        return sum((a - b) ** 2 for a, b in zip(places[one], places[other], strict=True))

    assert apart(0, 1) < apart(0, 3)


def test_the_mood_of_texts_is_told_and_labels_of_ones_own_are_scored(page: Page) -> None:
    page.show("texts")
    page.write("#texts-input", "I love this wonderful album")
    page.press(Keys.ENTER, "The delivery was late and the box was broken")
    page.activate('#texts [value="sentiment"]')
    page.until(lambda: page.all("#texts table"))
    assert page.texts("#texts-result > .scroll td:nth-of-type(1)") == ["POSITIVE", "NEGATIVE"]
    page.write("#texts-labels", "music, logistics")
    page.activate('#texts [value="sentiment"]')
    page.until(lambda: len(page.all("#texts-result > .scroll tbody tr")) == 4)
    assert set(page.texts("#texts-result > .scroll td:nth-of-type(1)")) == {"music", "logistics"}


def test_entities_are_marked_where_they_are_also_behind_wide_characters(page: Page) -> None:
    page.show("texts")
    page.script(  # ChromeDriver types no characters beyond the basic plane
        "document.querySelector('#texts-input').value = '🌍🌍 My name is Anna Schmidt.'"
    )
    page.activate('#texts [value="entities"]')
    page.until(lambda: page.all("mark"))
    marked = page.script(
        "return [...document.querySelectorAll('mark')].map((each) => each.firstChild.data)"
    )
    assert " ".join(marked) == "Anna Schmidt"
    whole = page.script("return document.querySelector('.marked').textContent")
    assert whole.startswith("🌍🌍 My name is Anna")


def test_no_image_and_no_text_are_said_before_anything_is_sent(page: Page) -> None:
    page.show("images")
    page.activate("#images .main")
    assert "Choose an image first" in page.error()
    page.show("vectors")
    page.write("#vectors-texts", " ")
    page.activate('#vectors [value="matrix"]')
    page.until(lambda: page.all('#vectors [role="alert"]'))
    assert page.sent(f"{NATIVE}/embeddings") == []


def test_the_live_panel_counts_what_is_asked(page: Page) -> None:
    page.show("live")
    page.until(lambda: "healthy" in page.one("#live-state").text)
    row = page.until(lambda: page.one("#live-result tbody tr:first-child").text)
    assert "0 of 16" in row
    json_headers = {"Content-Type": "application/json"}
    body = json.dumps({"input": ["a kitten"] * 64}).encode()
    urlopen(Request(f"{page.url}/v1/embeddings", body, json_headers)).read()
    page.until(lambda: float(cell(page, "all-MiniLM-L6-v2", 9)) > 0)
    assert "Tokens a second" in page.one(".trend figcaption").text
    assert len(page.all(".trend polyline")) == 2
    assert page.all("#live-result > p.hint, #live-result > ul")
    page.activate("#live-pause")
    assert page.one("#live-pause").get_attribute("aria-pressed") == "true"


def test_each_answer_shows_where_its_time_went(page: Page) -> None:
    page.write("#chat-max-tokens", "8")
    page.write("#chat-prompt", "Hello")
    page.press(Keys.ENTER)
    page.until(lambda: page.all("#chat .timeline"))
    page.activate("#chat .timeline summary")
    stages = page.texts("#chat .timeline tbody th")
    assert stages[2:] == ["Tokenize", "Queue", "Prefill", "Decode and stream"]
    page.show("texts")
    page.activate('#texts [value="sentiment"]')
    page.until(lambda: page.all("#texts .timeline"))
    assert page.texts("#texts .timeline tbody th")[2:] == ["Tokenize", "Queue", "Forward"]
    assert "2 items of 1 request" in page.one("#texts .timeline").text
    bars = page.script(
        "return [...document.querySelectorAll('#texts .track span')]"
        ".map((each) => each.getBoundingClientRect().width)"
    )
    assert bars[0] > bars[-1] > 0


def cell(page: Page, model: str, column: int) -> str:
    rows = [row for row in page.all("#live-result tbody tr") if model in row.text]
    text = rows[0].find_element("css selector", f":nth-child({column})").text
    return text if text != "–" else "0"
