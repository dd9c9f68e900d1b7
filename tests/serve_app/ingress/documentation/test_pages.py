"""The documentation's pages come whole from this server."""

from __future__ import annotations

import gzip
import re
import tomllib
from pathlib import Path

import pytest

from serve_app.ingress.documentation.pages import ASSETS, BY_NAME
from tests.serve_app import house

LINK = re.compile(r"(?:src|href|url|spec-url)[=:]\s*[\"']([^\"']*)[\"']")
ROOT = Path(__file__).parents[4]


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
async def test_a_page_loads_nothing_from_elsewhere(path: str) -> None:
    application = house.app()
    response = await house.get(application, path)
    assert response.headers["content-type"].startswith("text/html")
    links = [link for link in LINK.findall(response.text) if link != "data:,"]
    assert "/openapi.json" in links
    assert any(link.startswith(ASSETS) for link in links)
    for link in links:
        assert link.startswith("/"), link
        assert (await house.get(application, link)).status_code == 200
    assert "https://" not in response.text
    policy = response.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'")
    assert "http" not in policy


@pytest.mark.parametrize("name", BY_NAME)
async def test_a_file_may_be_kept_and_comes_as_the_browser_takes_it(name: str) -> None:
    application = house.app()
    packed = await house.get(application, f"{ASSETS}/{name}", **{"accept-encoding": "gzip, br"})
    plain = await house.get(application, f"{ASSETS}/{name}", **{"accept-encoding": "identity"})
    assert packed.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert packed.content == plain.content  # httpx unpacked it
    assert len(plain.content) == int(plain.headers["content-length"]) > 100_000
    assert gzip.decompress(BY_NAME[name].compressed()) == plain.content
    assert packed.headers["content-type"].startswith(BY_NAME[name].media_type)
    assert "immutable" in packed.headers["cache-control"]


@pytest.mark.parametrize("name", ["nothing.js", "..%2Fpages.py", "redoc.LICENSE.txt"])
async def test_nothing_else_lies_beside_them(name: str) -> None:
    response = await house.get(house.app(), f"{ASSETS}/{name}")
    assert response.status_code == 404
    assert response.json()["error_type"] == "not_found_error"


async def test_a_page_below_a_prefix_points_there() -> None:
    application = house.app()
    application.root_path = "/below"
    page = (await house.get(application, "/docs")).text
    assert "/below/openapi.json" in page
    assert f"/below{ASSETS}/" in page


def test_the_files_are_packaged_with_their_versions_and_licences_named() -> None:
    notice = (ROOT / "NOTICE").read_text()
    for name in BY_NAME:
        program, version = name.rpartition("-")[0], name.rpartition("-")[2].rpartition(".")[0]
        assert f"{version}" in notice
        assert (ROOT / f"serve_app/ingress/documentation/assets/{program}.LICENSE.txt").is_file()
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packaged = settings["tool"]["setuptools"]["package-data"]
    assert packaged["serve_app.ingress.documentation"] == ["assets/*"]
