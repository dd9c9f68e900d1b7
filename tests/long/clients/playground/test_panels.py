"""Every panel of the playground does what it is there for, from the keyboard alone."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from urllib.request import Request, urlopen

import pytest
from selenium.webdriver.common.keys import Keys

from .page import Page

NATIVE = "/api/v1/huggingface"
CIRCLE = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAEAAAABAAQMAAACQp+OdAAAABlBMVEX////mHh7W433QAAAAg0lEQVR42r3QsQ2DQBQE0ccHCTJT"
    "Au4Ed+QSrwSXQAmEJwtxDpCtC4gcsNFoVtpguTa3jMCzP0RTSgJ9KSvBwEAw0hFMBMFMQ0tCk0IDs/jOx4FTbToYa/ODAYbT6j/I"
    "kE+rDdba7LDUpkDSYuYhSBSChZ1gZSPIZII3L1qY79XPF+QDrEEctGfYTQAAAAAASUVORK5CYII="
)
"""A red circle, 64 pixels wide."""


def answers(page: Page) -> list[str]:
    return page.texts(".turn.assistant .said")


def wait_for_answer(page: Page, number: int = 1) -> None:
    page.until(
        lambda: sum("ended:" in each for each in page.texts(".turn.assistant .stats")) >= number
    )


def test_a_chat_streams_with_the_settings_and_goes_on(page: Page) -> None:
    page.write("#chat-temperature", "0")
    page.write("#chat-max-tokens", "24")
    page.write("#chat-seed", "7")
    page.write("#chat-system", "You answer in one sentence.")
    page.write("#chat-prompt", "What is the capital of France?")
    page.press(Keys.ENTER)
    wait_for_answer(page)
    assert "Paris" in answers(page)[0]
    page.write("#chat-prompt", "And of Italy?")
    page.activate("#chat-send")
    wait_for_answer(page, 2)
    _, second = page.sent("/v1/chat/completions")
    body = json.loads(second["postData"])
    assert {"temperature": 0, "max_tokens": 24, "seed": 7, "stream": True}.items() <= body.items()
    roles = [message["role"] for message in body["messages"]]
    assert roles == ["system", "user", "assistant", "user"]
    assert body["messages"][2]["content"] == answers(page)[0]
    assert "tokens/s" in page.texts(".turn.assistant .stats")[1]


def test_what_is_written_is_announced_by_sentences_and_not_by_tokens(page: Page) -> None:
    page.script(
        """
        window.said = [];
        const place = document.getElementById("announcer");
        new MutationObserver(() => window.said.push(place.textContent))
          .observe(place, {childList: true, characterData: true});
        """
    )
    page.write("#chat-max-tokens", "64")
    page.write("#chat-prompt", "Tell me about rivers.")
    page.press(Keys.ENTER)
    wait_for_answer(page)
    said = page.script("return window.said")
    assert page.one("#announcer").get_attribute("aria-live") == "polite"
    assert 2 <= len(said) < 20
    assert "tokens" in said[-1]


def test_stop_ends_the_answer_and_frees_its_slot(page: Page) -> None:
    page.write("#chat-temperature", "0.9")
    page.write("#chat-max-tokens", "4000")
    page.write("#chat-prompt", "Count from one to ten thousand in words.")
    page.press(Keys.ENTER)
    page.until(lambda: len(answers(page)[0]) > 20)
    page.activate("#chat-stop")
    page.until(lambda: "stopped" in page.texts(".turn.assistant .stats")[0])
    assert page.one("#chat-send").is_displayed()
    assert not page.one("#chat-stop").is_displayed()
    page.until(lambda: slots_in_use(page) == 0)


def test_a_new_chat_forgets_an_answer_that_is_still_written(page: Page) -> None:
    page.write("#chat-max-tokens", "2000")
    page.write("#chat-prompt", "Count to a thousand in words.")
    page.press(Keys.ENTER)
    page.until(lambda: len(answers(page)[0]) > 10)
    page.activate("#chat-clear")
    assert answers(page) == []
    page.write("#chat-max-tokens", "4")
    page.write("#chat-prompt", "Hello")
    page.press(Keys.ENTER)
    wait_for_answer(page)
    last = json.loads(page.sent("/v1/chat/completions")[-1]["postData"])
    assert last["messages"] == [{"role": "user", "content": "Hello"}]


def slots_in_use(page: Page) -> float:
    with urlopen(f"{page.url}/metrics") as response:
        lines = response.read().decode().splitlines()
    name = "prsm_huggingface_slots_in_use{"
    return sum(float(line.split()[-1]) for line in lines if line.startswith(name))


def test_an_error_is_shown_as_the_service_words_it(page: Page) -> None:
    page.write("#chat-temperature", "3")
    page.write("#chat-prompt", "Hello")
    page.press(Keys.ENTER)
    shown = page.error()
    assert "temperature" in shown
    assert "400" in shown
    assert page.one("#chat-prompt").get_attribute("value") == "Hello"
    assert answers(page) == []


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


def test_an_uploaded_image_gets_boxes_words_and_an_answer(page: Page, tmp_path: Path) -> None:
    file = tmp_path / "circle.png"
    file.write_bytes(CIRCLE)
    page.show("images")
    page.go_to("#images-file")
    page.one("#images-file").send_keys(str(file))
    page.activate("#images .main")
    page.until(lambda: page.all(".box"))
    assert "circle" in page.one("#images-result > .scroll").text
    page.choose("#images-task", "Describe")
    assert "red" in image_answer(page)
    page.choose("#images-task", "Answer")
    page.write("#images-question", "What color is it?")
    assert "red" in image_answer(page)
    page.choose("#images-task", "Classify")
    page.activate("#images .main")
    page.until(lambda: len(page.all("#images-result > .scroll tbody tr")) == 5)


def image_answer(page: Page) -> str:
    """Run the chosen task; the text that it answers."""
    page.script("document.getElementById('images-result').replaceChildren()")
    page.activate("#images .main")
    return str(page.until(lambda: "".join(page.texts("#images-result .answer"))))


def test_an_image_may_be_drawn_or_dropped(page: Page) -> None:
    page.show("images")
    page.activate("#images-sample")
    page.until(lambda: page.all(".picture img"))
    page.activate("#images .main")
    page.until(lambda: page.all(".box"))
    box = page.one("#images-result > .scroll td:last-child").text
    left, top, right, bottom = (int(part) for part in box.split(", "))
    assert 35 < left < 65
    assert 25 < top < 55
    assert 110 < right < 145
    assert 105 < bottom < 140
    page.script(
        """
        const dropped = new DataTransfer();
        dropped.items.add(new File([Uint8Array.from(atob(arguments[0]), (c) => c.charCodeAt(0))],
          "<b>dropped</b>.png", {type: "image/png"}));
        document.getElementById("images-drop").dispatchEvent(
          new DragEvent("drop", {bubbles: true, cancelable: true, dataTransfer: dropped}));
        """,
        base64.b64encode(CIRCLE).decode(),
    )
    page.until(lambda: shown_width(page) == 64)
    assert page.one(".picture img").get_attribute("alt") == "<b>dropped</b>.png"
    assert page.all("#images b") == []


def shown_width(page: Page) -> int:
    return int(page.script("return document.querySelector('.picture img').naturalWidth"))


def test_no_image_and_no_text_are_said_before_anything_is_sent(page: Page) -> None:
    page.show("images")
    page.activate("#images .main")
    assert "Choose an image first" in page.error()
    page.show("vectors")
    page.write("#vectors-texts", " ")
    page.activate('#vectors [value="matrix"]')
    page.until(lambda: page.all('#vectors [role="alert"]'))
    assert page.sent(f"{NATIVE}/embeddings") == []


def empty_graph(page: Page) -> None:
    page.show("graph")
    page.until(lambda: page.all(".step"))
    while page.all(".step"):
        page.activate(".step > .actions button")


def add_step(page: Page, task: str) -> None:
    page.choose("#graph-task", f"{task}:")
    page.activate("#graph-add")
    page.until(lambda: page.all(f"#step-{task}-id"))


def test_a_graph_is_built_connected_and_run(page: Page) -> None:
    empty_graph(page)
    page.write("#graph-text", "Anna Schmidt loves the new bridge.")
    add_step(page, "entities")
    assert page.focused.get_attribute("id") == "step-entities-texts"
    page.choose('[aria-label="Connect texts of step entities"]', "$input.text")
    add_step(page, "classify")
    page.write("#step-classify-texts", "$entities.text")
    add_step(page, "similarity")
    page.choose('[aria-label="Connect text1 of step similarity"]', "$entities.text")
    page.write("#step-similarity-text2", "a ${classify.sentiment} text")
    page.activate("#graph .main")
    page.until(lambda: page.all("#graph-result table"))
    assert page.texts(".status-ok") == ["ok", "ok", "ok"]
    (request,) = page.sent(f"{NATIVE}/graph")
    body = json.loads(request["postData"])
    assert body["input"] == {"text": "Anna Schmidt loves the new bridge."}
    inputs = {step["id"]: step["inputs"] for step in body["steps"]}
    assert inputs["entities"] == {"texts": "$input.text"}
    assert inputs["similarity"]["text1"] == "$entities.text"
    shown = page.script(
        "return [...document.querySelectorAll('#graph-result pre')].at(-1).textContent"
    )
    assert json.loads(shown) == body


def test_a_graph_shows_which_step_failed_and_which_were_left_out(page: Page) -> None:
    empty_graph(page)
    add_step(page, "similarity")
    page.write("#step-similarity-text1", "[1, 0]")
    page.write("#step-similarity-text2", "[0, 0]")
    add_step(page, "classify")
    page.write("#step-classify-texts", "${similarity.similarity}")
    page.activate("#graph .main")
    page.until(lambda: page.all("#graph-result table") or page.all('#graph [role="alert"]'))
    assert page.texts('#graph [role="alert"]') == []
    assert page.one(".status-failed").text.startswith("failed: ")
    assert page.one(".status-skipped").text == "skipped, since similarity failed"


def test_a_graph_that_cannot_run_names_the_step_at_fault(page: Page) -> None:
    empty_graph(page)
    add_step(page, "classify")
    page.write("#step-classify-texts", "$nothing.text")
    page.activate("#graph .main")
    assert "nothing" in page.error()


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


@pytest.mark.parametrize("text", ["<img src=x onerror=alert(1)>", "<script>alert(1)</script>"])
def test_what_is_written_never_becomes_html(page: Page, text: str) -> None:
    page.write("#chat-max-tokens", "4")
    page.write("#chat-prompt", text)
    page.press(Keys.ENTER)
    wait_for_answer(page)
    assert page.texts(".turn.user .said") == [text]
    page.show("texts")
    page.write("#texts-input", text)
    page.activate('#texts [value="sentiment"]')
    page.until(lambda: page.all("#texts table"))
    assert page.one("#texts-result > .scroll tbody th").text == text
    assert page.all("main img, main script") == []
