"""A chat streams, goes on, stops and begins anew, and what is written in it stays text."""

from __future__ import annotations

import json
from urllib.request import urlopen

import pytest
from selenium.webdriver.common.keys import Keys

from .page import Page


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
