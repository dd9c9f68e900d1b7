"""A graph of steps is built, connected and run, and its errors name the step."""

from __future__ import annotations

import json

from .page import NATIVE, Page


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
