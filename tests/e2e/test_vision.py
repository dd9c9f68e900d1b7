"""Images over HTTP on the running graph: photographs, drawings, and files that are no image."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import httpx
import pytest
import sklearn.datasets
from PIL import Image, ImageDraw

VISION = "/api/v1/huggingface/vision"
PHOTOGRAPHS = Path(sklearn.datasets.__file__).parent / "images"
BOX = (60, 50, 180, 170)


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def red_circle() -> Image.Image:
    """A red circle on white, off centre, in a size that no model here was trained on."""
    image = Image.new("RGB", (320, 240), "white")
    ImageDraw.Draw(image).ellipse(BOX, fill="red")
    return image


def sent(client: httpx.Client, route: str, raw: bytes, **fields: str) -> httpx.Response:
    files = {"image": ("image", raw, "application/octet-stream")}
    return client.post(f"{VISION}/{route}", files=files, data=fields)


def captioned(client: httpx.Client, raw: bytes) -> str:
    response = sent(client, "caption", raw)
    assert response.status_code == 200, response.text
    return str(response.json()["caption"])


@pytest.mark.parametrize(("name", "label"), [("china.jpg", "palace"), ("flower.jpg", "daisy")])
def test_a_photograph_is_classified(client: httpx.Client, name: str, label: str) -> None:
    body = sent(client, "classify", (PHOTOGRAPHS / name).read_bytes(), top_k="4").json()
    labels = [each["label"] for each in body["classifications"]]
    assert len(labels) == 4
    assert label in labels
    assert body["model"] == "google/efficientnet-lite0"
    assert {"request_id", "execution_time"} <= set(body)


@pytest.mark.parametrize("form", ["file", "data", "base64"])
def test_a_drawing_is_captioned_and_questioned_in_every_form_of_upload(
    client: httpx.Client, form: str
) -> None:
    raw = encoded(red_circle())
    text = base64.b64encode(raw).decode()
    image = f"data:image/png;base64,{text}" if form == "data" else text

    def ask(route: str, **fields: str) -> Any:
        if form == "file":
            return sent(client, route, raw, **fields).json()
        return client.post(f"{VISION}/{route}", json={"image": image, **fields}).json()

    assert ask("caption")["caption"] == "a red circle"
    answer = ask("question", question="What color is it?")
    assert answer["answer"] == "red"
    assert answer["confidence"] > 0.5
    assert ask("question", question="What shape is it?")["answer"] == "circle"


def test_orientation_transparency_and_frames_are_read_as_a_viewer_shows_them(
    client: httpx.Client,
) -> None:
    drawing, exif = red_circle(), Image.Exif()
    exif[0x0112] = 6
    clear = Image.new("RGBA", drawing.size, (0, 0, 0, 0))
    ImageDraw.Draw(clear).ellipse(BOX, fill="red")
    frames = [Image.new("RGB", drawing.size, "blue")]
    kinds = [
        encoded(drawing, "JPEG", exif=exif, quality=95),
        encoded(drawing.convert("P", palette=Image.Palette.ADAPTIVE)),
        encoded(clear),
        encoded(drawing.convert("CMYK"), "JPEG", quality=95),
        encoded(drawing, "GIF", save_all=True, append_images=frames),
    ]
    assert [captioned(client, raw) for raw in kinds] == ["a red circle"] * len(kinds)


@pytest.mark.parametrize("route", ["classify", "caption", "question", "detect"])
def test_a_file_that_is_no_image_is_refused_with_the_right_code(
    client: httpx.Client, route: str
) -> None:
    fields = {"question": "What is it?"} if route == "question" else {}
    whole = encoded(red_circle(), "JPEG")
    for raw, status in ((whole[: len(whole) // 2], 400), (b"a text", 400), (b"%PDF-1.7", 415)):
        response = sent(client, route, raw, **fields)
        assert response.status_code == status, response.text
        assert set(response.json()["details"]["field_errors"]) == {"image"}
    bomb = encoded(Image.new("1", (9000, 9000)))
    assert sent(client, route, bomb, **fields).status_code == 413
    url = client.post(f"{VISION}/{route}", json={"image": "https://a.example/b.png", **fields})
    assert url.status_code == 400
    assert "does not fetch images" in url.json()["message"]
    assert captioned(client, encoded(red_circle())) == "a red circle"


def test_detection_answers_in_its_shape_and_keeps_to_the_threshold(client: httpx.Client) -> None:
    raw = encoded(red_circle())
    every = sent(client, "detect", raw, threshold="0").json()["detections"]
    some = sent(client, "detect", raw, threshold="0.3").json()["detections"]
    assert every
    assert some == [each for each in every if each["confidence"] >= 0.3]
    for each in every:
        box = each["box"]
        assert 0 <= box["xmin"] < box["xmax"] <= 320
        assert 0 <= box["ymin"] < box["ymax"] <= 240
