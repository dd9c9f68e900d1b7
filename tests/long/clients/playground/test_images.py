"""Images are uploaded, drawn or dropped, and boxes, words and answers are shown for them."""

from __future__ import annotations

import base64
from pathlib import Path

from .page import Page

CIRCLE = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAEAAAABAAQMAAACQp+OdAAAABlBMVEX////mHh7W433QAAAAg0lEQVR42r3QsQ2DQBQE0ccHCTJT"
    "Au4Ed+QSrwSXQAmEJwtxDpCtC4gcsNFoVtpguTa3jMCzP0RTSgJ9KSvBwEAw0hFMBMFMQ0tCk0IDs/jOx4FTbToYa/ODAYbT6j/I"
    "kE+rDdba7LDUpkDSYuYhSBSChZ1gZSPIZII3L1qY79XPF+QDrEEctGfYTQAAAAAASUVORK5CYII="
)
"""A red circle, 64 pixels wide."""


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
