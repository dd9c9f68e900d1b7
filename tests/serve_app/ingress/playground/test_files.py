"""The playground comes whole from this server, and lets a browser run nothing else."""

from __future__ import annotations

import re
import tomllib
from hashlib import sha256
from importlib.resources import files
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from serve_app.ingress import playground
from serve_app.ingress.playground.files import PATH, POLICY
from tests.serve_app import house

ROOT = Path(__file__).parents[4]
ASSETS = ROOT / "serve_app/ingress/playground/assets"
NAMES = sorted(path.name for path in ASSETS.iterdir() if path.suffix != ".html")
IMPORT = re.compile(r"^import .* from \"\./([a-z_]+\.js)\";$", re.MULTILINE)
HTML = re.compile(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function")


@pytest.fixture(scope="module")
def application() -> FastAPI:
    return house.app()


@pytest.mark.parametrize("name", NAMES)
async def test_each_file_is_sent_with_a_tag_and_not_again_while_it_is_the_same(
    name: str, application: FastAPI
) -> None:
    first = await house.get(application, f"{PATH}/{name}")
    assert first.status_code == 200
    assert first.content == (ASSETS / name).read_bytes()
    kind = "text/css" if name.endswith(".css") else "text/javascript"
    assert first.headers["content-type"].startswith(kind)
    assert first.headers["cache-control"] == "no-cache"
    tag = first.headers["etag"]
    for known in (tag, f"W/{tag}", f'"other", {tag}'):
        again = await house.get(application, f"{PATH}/{name}", **{"if-none-match": known})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == tag
    changed = await house.get(application, f"{PATH}/{name}", **{"if-none-match": '"other"'})
    assert changed.content == first.content


@pytest.mark.parametrize("name", ["nothing.js", "page.html", "..%2Ffiles.py", "files.py", "a.JS"])
async def test_nothing_else_lies_beside_them(name: str, application: FastAPI) -> None:
    response = await house.get(application, f"{PATH}/{name}")
    assert response.status_code == 404
    assert response.json()["error_type"] == "not_found_error"


async def test_a_head_has_the_headers_alone(application: FastAPI) -> None:
    transport = httpx.ASGITransport(application)
    async with httpx.AsyncClient(transport=transport, base_url="http://house") as client:
        head = await client.head(f"{PATH}/app.js")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["etag"]


async def test_a_name_that_no_file_system_takes_is_not_found() -> None:
    response = await house.get(house.app(), f"{PATH}/{'a' * 400}.js")
    assert response.status_code == 404


async def test_a_key_guards_the_service_and_not_the_files(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text(f"ada:{sha256(b'secret').hexdigest()}\n")
    application = house.app(api_keys_file=keys)
    assert (await house.get(application, f"{PATH}/app.js")).status_code == 200
    assert (await house.get(application, f"{house.NATIVE}/models")).status_code == 401


def test_the_page_loads_every_module_and_no_module_imports_a_missing_one() -> None:
    reached, pending = set[str](), {"app.js"}
    while pending:
        name = pending.pop()
        reached.add(name)
        pending |= set(IMPORT.findall((ASSETS / name).read_text())) - reached
    assert reached == {name for name in NAMES if name.endswith(".js")}
    assert len(reached) > 20


@pytest.mark.parametrize("name", NAMES)
def test_a_file_is_short_names_no_other_server_and_makes_no_html(name: str) -> None:
    text = (ASSETS / name).read_text()
    assert len(text.splitlines()) < 200
    assert not re.findall(r"https?://(?!www\.w3\.org/2000/svg)", text)
    assert not HTML.search(text)


def test_the_policy_allows_nothing_inline_and_nothing_from_elsewhere() -> None:
    directives = dict(part.strip().split(" ", 1) for part in POLICY.split(";"))
    assert directives["default-src"] == "'none'"
    assert directives["script-src"] == directives["connect-src"] == "'self'"
    assert directives["require-trusted-types-for"] == "'script'"
    assert "unsafe" not in POLICY
    assert "http" not in POLICY


def test_the_files_are_packaged() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packaged = settings["tool"]["setuptools"]["package-data"]
    assert packaged["serve_app.ingress.playground"] == ["assets/*"]
    assert (files(playground) / "assets" / "page.html").is_file()
