"""`GET /`: JSON for programs, the playground for browsers."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import replace
from hashlib import sha256
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import httpx
import pytest

from serve_app.ingress.app import create_app, routers_of
from serve_app.ingress.playground.files import POLICY
from serve_app.ingress.routes.home import EXAMPLES, LINKS, SIGNPOST, UNKNOWN_ADDRESS, prefers_html
from serve_app.registry.task_names import all_tasks
from tests.serve_app import house

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
VOID = {"meta", "link", "input"}
OWN = {"data:,", "/playground/playground.css", "/playground/app.js"}
"""What the page itself loads."""


class Page(HTMLParser):
    """Checks that elements are nested, and collects the text and links."""

    def __init__(self, response: httpx.Response) -> None:
        super().__init__()
        self.links: list[str] = []
        self.seen: list[str] = []
        self._open: list[str] = []
        self.feed(response.text)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        self.links += [value or "" for name, value in attrs if name in {"href", "src"}]
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag


def commands(response: httpx.Response) -> list[list[str]]:
    """The page's examples as a shell splits them."""
    found = re.findall(r"<pre><code>(.*?)</code></pre>", response.text, re.DOTALL)
    return [shlex.split(unescape(text)) for text in found]


async def test_the_root_leads_on() -> None:
    body = (await house.get(house.app(), "/")).json()
    assert (body["docs"], body["native"], body["openai"]) == ("/docs", house.NATIVE, "/v1")


@pytest.mark.parametrize(
    ("accept", "html"),
    [
        (BROWSER, True),
        ("text/html", True),
        ("TEXT/HTML ; charset=utf-8", True),
        ("application/json;q=0.5, text/html", True),
        ("", False),
        ("*/*", False),
        ("text/*", False),
        ("application/json", False),
        ("application/json, text/html", False),
        ("text/html;q=0.4, application/json;q=0.5", False),
        ("text/html;q=0", False),
        ("text/html;q=0.0, */*", False),
        ("text/htmlx", False),
        (";;,q=1,,", False),
    ],
)
async def test_only_who_prefers_html_gets_the_page(accept: str, html: bool) -> None:
    response = await house.get(house.app(), "/", accept=accept)
    assert response.status_code == 200
    assert response.headers["vary"] == "Accept"
    kind = response.headers["content-type"].partition(";")[0]
    assert kind == ("text/html" if html else "application/json")
    assert html or response.json() == SIGNPOST
    assert prefers_html(accept) is html


async def test_the_page_names_links_models_by_family_and_three_examples() -> None:
    application = house.app()
    response = await house.get(application, "/", accept=BROWSER)
    page = Page(response)
    assert set(LINKS) | OWN == set(page.links)
    for path in set(page.links) - {"data:,"}:
        assert (await house.get(application, path)).status_code == 200
    assert {"title", "h1", "main", "html"} <= set(page.seen)
    assert '<html lang="en">' in response.text
    for family in house.profile().families:
        assert f"<dt>{family.name}</dt>" in response.text
        for model in family.models:
            assert f"<code>{model.name}</code>" in response.text
    assert len(commands(response)) == 3
    assert len(response.content) < 20_000


async def test_the_page_has_no_script_and_no_style_of_its_own() -> None:
    response = await house.get(house.app(), "/", accept=BROWSER)
    assert re.findall(r"<script[^>]*>(.*?)</script>", response.text, re.DOTALL) == [""]
    assert "style" not in Page(response).seen
    tags = "".join(re.findall(r"<[^>]*>", response.text))
    assert not re.search(r" on\w+=| style=", tags)
    assert response.headers["content-security-policy"] == POLICY


async def test_every_field_of_the_page_has_a_label_and_every_tab_a_panel() -> None:
    text = (await house.get(house.app(), "/", accept=BROWSER)).text
    fields = re.findall(r"<(?:input|select|textarea) id=\"([^\"]+)\"", text)
    labels = re.findall(r"<label for=\"([^\"]+)\"", text)
    assert sorted(fields) == sorted(labels)
    assert len(fields) > 15
    for panel in re.findall(r"aria-controls=\"([^\"]+)\"", text):
        assert f'<section id="{panel}"' in text


async def test_without_scripts_the_page_shows_where_to_go() -> None:
    text = (await house.get(house.app(), "/", accept=BROWSER)).text
    shown = [tag for tag in re.findall(r"<section[^>]*>", text) if " hidden" not in tag]
    assert shown == ['<section id="server" aria-labelledby="server-title" class="panel">']
    assert "$" not in re.sub(r"<code>\$input\.\w+</code>", "", text)


async def test_the_examples_are_answered() -> None:
    cards = house.services({}).catalog.cards
    application = house.app()
    response = await house.get(application, "/", accept=BROWSER)
    for command in commands(response):
        assert command[0] == "curl"
        path = command[1].removeprefix(UNKNOWN_ADDRESS)
        body = json.loads(command[command.index("-d") + 1])
        assert {body.get("model"), body.get("model_name")} & {card.name for card in cards}
        answered = await house.post(application, path, body)
        # The families of this graph give no answer; what is wrong with a request is a 400 or 404.
        assert answered.status_code >= 500, answered.text


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ("127.0.0.1:8100", "http://127.0.0.1:8100"),
        ("LOCALHOST", "http://LOCALHOST"),
        ("[::1]:8000", "http://[::1]:8000"),
    ],
)
async def test_examples_name_the_address_that_was_asked_where_the_front_checks_it(
    sent: str, shown: str
) -> None:
    local = app(host="127.0.0.1")
    response = await house.get(local, "/", accept=BROWSER, host=sent)
    assert all(command[1].startswith(f"{shown}/") for command in commands(response))


async def test_an_unchecked_host_is_not_shown() -> None:
    response = await house.get(app(host=None), "/", accept=BROWSER, host="evil.example")
    assert "evil.example" not in response.text
    assert all(command[1].startswith(f"{UNKNOWN_ADDRESS}/") for command in commands(response))


async def test_a_host_that_the_front_refuses_gets_no_page() -> None:
    response = await house.get(app(host="127.0.0.1"), "/", accept=BROWSER, host="evil.example")
    assert response.status_code == 403
    assert "<html" not in response.text


async def test_with_keys_the_page_is_open_and_its_examples_send_one(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(f"ada:{sha256(b'secret').hexdigest()}\n")
    response = await house.get(house.app(api_keys_file=file), "/", accept=BROWSER)
    assert response.status_code == 200
    assert all("Authorization: Bearer YOUR_KEY" in command for command in commands(response))
    assert "ada" not in response.text
    assert str(tmp_path) not in response.text


async def test_head_has_the_headers_of_the_page_and_no_body() -> None:
    transport = httpx.ASGITransport(house.app())
    async with httpx.AsyncClient(transport=transport, base_url="http://house") as client:
        head = await client.head("/", headers={"accept": BROWSER})
        page = await client.get("/", headers={"accept": BROWSER})
    assert head.status_code == 200
    assert head.content == b""
    assert head.headers["content-type"] == page.headers["content-type"]


async def test_below_a_prefix_links_and_examples_point_there() -> None:
    application = house.app()
    application.root_path = "/below"
    response = await house.get(application, "/", accept=BROWSER)
    assert {link for link in Page(response).links if link != "data:,"} == {
        f"/below{path}" for path in {*LINKS, *OWN} - {"data:,"}
    }
    assert all(each[1].startswith(f"{UNKNOWN_ADDRESS}/below/") for each in commands(response))


def test_every_example_belongs_to_a_task_that_profiles_name() -> None:
    assert set(EXAMPLES) <= {task.name for task in all_tasks()}


async def test_names_are_escaped() -> None:
    wild = "a<b>&'\"</code>"
    card = replace(house.services({}).catalog.cards[0], name=wild, family="<i>")
    services = house.services({})
    services.catalog.own = (card,)
    response = await house.get(create_app(services, []), "/", accept=BROWSER)
    page = Page(response)
    assert not {"b", "i"} & set(page.seen)
    assert json.loads(commands(response)[0][-1])["model"] == wild


def app(host: str | None) -> Any:
    """The application as it is served at ``host``."""
    return create_app(house.services({}), routers_of(house.profile()), host=host)
