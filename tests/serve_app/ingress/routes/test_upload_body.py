"""Bodies with an image, in the three places that their fields can be in."""

from __future__ import annotations

import base64
from typing import Annotated, Any

import httpx
import pytest
from fastapi import APIRouter, Depends, FastAPI
from pydantic import Field

from serve_app.ingress.app import create_app
from serve_app.ingress.routes.upload_body import IMAGE_FILE, UploadBody
from serve_app.ingress.validation.fields import Body, ImageSent, Text
from serve_app.ingress.validation.json_body import JsonRoute
from tests.serve_app import house

FILE = b"\x00not looked at here"


class PhotoBody(Body):
    image: ImageSent
    title: Text | None = None
    top_k: Annotated[int, Field(ge=1)] = 5
    ratio: Annotated[float, Field(le=1)] | None = None
    keep: bool = False


PHOTO = UploadBody(PhotoBody, IMAGE_FILE)
router = APIRouter(route_class=JsonRoute)


@router.post("/photo", openapi_extra=PHOTO.documented())
async def photo(body: Annotated[PhotoBody, Depends(PHOTO)]) -> dict[str, Any]:
    image = body.image if isinstance(body.image, str) else body.image.hex()
    return {**body.model_dump(exclude={"image"}), "image": image}


@pytest.fixture
def app() -> FastAPI:
    return create_app(house.services({}, max_prompt_bytes=1000, max_body_bytes=100_000), [router])


async def sent(app: FastAPI, path: str = "/photo", **request: Any) -> httpx.Response:
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://house") as client:
        return await client.post(path, **request)


def faults(response: httpx.Response) -> dict[str, str]:
    assert response.status_code == 400, response.text
    found: dict[str, str] = response.json()["details"]["field_errors"]
    return found


FILES = {"image": ("a.png", FILE, "image/png")}


async def test_a_form_and_its_texts_become_one_typed_body(app: FastAPI) -> None:
    texts = {"title": "7", "top_k": "3", "ratio": "0.5", "keep": "true"}
    answer = (await sent(app, files=FILES, data=texts)).json()
    assert answer == {"image": FILE.hex(), "title": "7", "top_k": 3, "ratio": 0.5, "keep": True}


async def test_the_query_string_adds_to_a_form_and_to_json(app: FastAPI) -> None:
    form = (await sent(app, "/photo?top_k=2&title=a", files=FILES, data={"ratio": "1"})).json()
    json = (await sent(app, "/photo?top_k=2&title=a", json={"image": "x", "ratio": 1.0})).json()
    assert (form["top_k"], form["title"], form["ratio"]) == (2, "a", 1.0)
    assert (json["top_k"], json["title"], json["ratio"]) == (2, "a", 1.0)


async def test_json_is_read_strictly(app: FastAPI) -> None:
    good = await sent(app, json={"image": "x", "top_k": 4})
    assert good.json() == {"image": "x", "title": None, "top_k": 4, "ratio": None, "keep": False}
    assert set(faults(await sent(app, json={"image": "x", "top_k": "4"}))) == {"top_k"}
    assert set(faults(await sent(app, json={"image": 7}))) == {"image"}
    assert set(faults(await sent(app, json={}))) == {"image"}
    assert set(faults(await sent(app, json=["image"]))) == {"body"}


async def test_a_body_that_is_no_json_says_so(app: FastAPI) -> None:
    response = await sent(app, content=b"{no", headers={"content-type": "application/json"})
    assert "not valid JSON" in faults(response)["body"]


@pytest.mark.parametrize(
    ("query", "texts", "at_fault"),
    [
        ("", {"tpo_k": "1"}, "tpo_k"),
        ("?tpo_k=1", {}, "tpo_k"),
        ("", {"top_k": "many"}, "top_k"),
        ("?top_k=0", {}, "top_k"),
        ("", {"top_k": "1.5"}, "top_k"),
        ("", {"ratio": "nan"}, "ratio"),
        ("", {"title": ""}, "title"),
        ("", {"keep": "perhaps"}, "keep"),
        ("?top_k=1&top_k=2", {}, "top_k"),
        ("?top_k=1", {"top_k": "2"}, "top_k"),
        ("?image=abc", {}, "image"),
    ],
)
async def test_a_text_that_is_unknown_or_wrong_is_named(
    app: FastAPI, query: str, texts: dict[str, str], at_fault: str
) -> None:
    assert set(faults(await sent(app, f"/photo{query}", files=FILES, data=texts))) == {at_fault}


async def test_an_unknown_field_of_json_is_named_and_one_given_twice_too(app: FastAPI) -> None:
    assert set(faults(await sent(app, json={"image": "x", "tpo_k": 1}))) == {"tpo_k"}
    response = await sent(app, "/photo?top_k=1", json={"image": "x", "top_k": 1})
    assert "twice" in faults(response)["top_k"]


async def test_files_have_their_place(app: FastAPI) -> None:
    assert "file" in faults(await sent(app, files={"image": (None, b"abc")}))["image"]
    assert set(faults(await sent(app, files={**FILES, "title": ("t.txt", b"x")}))) == {"title"}
    assert set(faults(await sent(app, files=[("image", FILES["image"])] * 2))) == {"image"}
    assert set(faults(await sent(app, files={"note": (None, b"x")}))) == {"image", "note"}


async def test_a_form_is_bounded_in_fields_files_and_their_size(app: FastAPI) -> None:
    many = await sent(app, files=FILES, data={f"f{i}": "x" for i in range(40)})
    files = await sent(app, files=[("image", FILES["image"])] * 6)
    large = await sent(app, files={"image": ("a.png", b"x" * 200_000, "image/png")})
    assert [r.status_code for r in (many, files)] == [400, 400]
    assert large.status_code == 413
    assert large.json()["error_type"] == "payload_too_large"


async def test_a_text_of_a_form_that_is_too_long_is_named(app: FastAPI) -> None:
    found = faults(await sent(app, files=FILES, data={"title": "x" * 2000}))
    assert found == {"title": "title has 2000 bytes; the limit is 1000."}
    assert (await sent(app, files=FILES, data={"title": "x" * 1000})).status_code == 200


@pytest.mark.parametrize("kind", ["image/png", "application/x-www-form-urlencoded", "text/plain"])
async def test_another_media_type_is_415(app: FastAPI, kind: str) -> None:
    response = await sent(app, content=FILE, headers={"content-type": kind})
    assert response.status_code == 415
    assert response.json()["error_type"] == "unsupported_media_type"


@pytest.mark.parametrize("kind", ["multipart/form-data", "multipart/form-data; boundary=x"])
async def test_a_broken_form_is_a_400(app: FastAPI, kind: str) -> None:
    response = await sent(app, content=b"--y\r\nbroken", headers={"content-type": kind})
    assert response.status_code == 400


def test_both_bodies_are_documented(app: FastAPI) -> None:
    content = app.openapi()["paths"]["/photo"]["post"]["requestBody"]["content"]
    form, json = content["multipart/form-data"]["schema"], content["application/json"]["schema"]
    assert form["properties"]["image"]["format"] == "binary"
    assert "base64" in json["properties"]["image"]["description"]
    assert set(form["properties"]) == set(json["properties"]) == set(PhotoBody.model_fields)
    assert form["required"] == json["required"] == ["image"]
    assert {"type": "null"} in json["properties"]["ratio"]["anyOf"]
    assert form["properties"]["ratio"] == {"maximum": 1, "type": "number", "title": "Ratio"}


def test_base64_reaches_the_body_as_it_was_sent() -> None:
    text = base64.b64encode(FILE).decode()
    assert PhotoBody(image=text).image == text
    assert PhotoBody(image=FILE).image == FILE


def form(charset: str, name: bytes = b"title", value: bytes = b"a") -> dict[str, Any]:
    parts = b'--x\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\n\r\n'
    parts += FILE + b'\r\n--x\r\nContent-Disposition: form-data; name="' + name + b'"\r\n\r\n'
    content_type = f"multipart/form-data; {charset}boundary=x"
    return {"content": parts + value + b"\r\n--x--\r\n", "headers": {"content-type": content_type}}


@pytest.mark.parametrize("charset", ["", "charset=utf-8; ", 'charset="UTF-8"; ', "charset=utf8; "])
async def test_a_form_is_read_as_utf_8(app: FastAPI, charset: str) -> None:
    answered = await sent(app, **form(charset, value="Zürich".encode()))
    assert answered.json()["title"] == "Zürich"


@pytest.mark.parametrize(
    "charset",
    [
        "punycode",
        "PUNYCODE",
        "idna",
        "undefined",
        "rot13",
        "base64",
        "unicode_escape",
        "utf-7",
        "utf-16",
        "mbcs",
        "latin-1",
        "no such",
        "",
        "x" * 1000,
    ],
)
async def test_no_other_codec_is_asked_to_read_a_form(app: FastAPI, charset: str) -> None:
    answered = await sent(app, **form(f'charset="{charset}"; ', name=b"a-" * 50))
    assert answered.status_code == 415
    assert answered.json()["error_type"] == "unsupported_media_type"
    assert "utf-8" in answered.json()["message"]
    assert len(answered.json()["message"]) < 200


@pytest.mark.parametrize(
    "content",
    [
        b"--x\r\n" + b"a: b\r\n" * 10_000,
        b"--x\r\na: " + b"b" * 90_000,
        b"--x\r\n" + b"a" * 90_000,
        b'--x\r\nContent-Disposition: form-data; name="title"\r\n\r\n\r\n' * 1000,
        b"--x\r\n\r\n\r\n--x--\r\n",
        b"--y",
    ],
)
async def test_a_form_of_many_or_long_headers_or_parts_is_refused(
    app: FastAPI, content: bytes
) -> None:
    headers = {"content-type": "multipart/form-data; boundary=x"}
    answered = await sent(app, content=content, headers=headers)
    assert answered.status_code == 400
    assert answered.json()["error_type"] == "validation_error"


@pytest.mark.parametrize(
    "parameters", ["", "; boundary=", '; boundary=""', "; boundary=" + "x" * 300]
)
async def test_a_form_without_a_usable_boundary_is_refused(app: FastAPI, parameters: str) -> None:
    headers = {"content-type": f"multipart/form-data{parameters}"}
    answered = await sent(app, content=b"--x--\r\n", headers=headers)
    assert answered.status_code == 400
