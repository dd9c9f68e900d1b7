"""Hosts and origins: a page elsewhere cannot make a browser use a service of this machine."""

from __future__ import annotations

import pytest
from starlette.types import Receive, Scope, Send

from configs.errors import ConfigError
from configs.exposure import is_loopback, require_keys
from configs.settings import Settings
from serve_app.ingress.front.front import Front
from tests.serve_app.ingress.front.fronting import NATIVE, asked, fronted


async def status(front: Front, host: str, origin: str | None = None, method: str = "POST") -> int:
    headers = [("host", host)] + ([("origin", origin)] if origin is not None else [])
    response = await asked(front, f"{NATIVE}/generate", method=method, headers=headers)
    if response.status_code != 200:
        assert response.json()["error_type"] == "authorization_error"
        assert response.json()["request_id"] == response.headers["x-request-id"]
    return response.status_code


OWN_NAMES = [
    "localhost",
    "localhost:8000",
    "LOCALHOST:1",
    "localhost:",
    "127.0.0.1",
    "127.0.0.1:65535",
    "[::1]",
    "[::1]:8000",
    "localhost.",
    "localhost.:80",
]
OTHER_NAMES = [
    "evil.example",
    "evil.example:8000",
    "localhost.evil.example",
    "127.0.0.1.evil.example",
    "localhost@evil.example",
    "evil.example#localhost",
    "10.0.0.1",
    "[::2]",
    "localhost:x",
    "localhost evil",
    "[::1",
    "::1",
]


@pytest.mark.parametrize(
    ("host", "answer"),
    [*((name, 200) for name in OWN_NAMES), *((name, 403) for name in OTHER_NAMES)],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_served_on_loopback_only_its_own_names_are_taken(
    host: str, method: str, answer: int
) -> None:
    assert await status(fronted(host="127.0.0.1"), host, method=method) == answer


async def test_a_client_that_sends_no_host_is_no_browser() -> None:
    front = fronted(host="127.0.0.1")
    assert await status(front, "") == 200


async def test_names_can_be_added_and_are_held_to_wherever_it_listens() -> None:
    for host in ("127.0.0.1", "0.0.0.0"):
        front = fronted(host=host, allowed_hosts=["Models.Example"])
        assert await status(front, "models.example:8000") == 200
        assert await status(front, "localhost") == 200
        assert await status(front, "other.example") == 403


@pytest.mark.parametrize("host", [None, "0.0.0.0", "10.1.2.3"])
async def test_elsewhere_every_name_is_taken_unless_some_are_named(host: str | None) -> None:
    assert await status(fronted(host=host), "evil.example", "https://evil.example") == 200


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "http://localhost.evil.example",
        "null",
        "",
        "http://10.0.0.1:8000",
        "file://",
        "localhost",
        "http://localhost:8000/path",
        "https://ui.example:444",
    ],
)
async def test_a_site_elsewhere_may_read_but_change_nothing(origin: str) -> None:
    front = fronted(host="127.0.0.1", cors_origins=["https://ui.example"])
    expected = 403 if origin else 200
    assert await status(front, "localhost", origin) == expected
    assert await status(front, "localhost", origin, "DELETE") == expected
    assert await status(front, "localhost", origin, "GET") == 200


@pytest.mark.parametrize(
    "origin", ["http://localhost:3000", "http://127.0.0.1", "https://[::1]:1", "https://ui.example"]
)
async def test_this_machine_and_configured_origins_may(origin: str) -> None:
    front = fronted(host="127.0.0.1", cors_origins=["https://ui.example"])
    assert await status(front, "localhost", origin) == 200


async def test_where_every_origin_is_configured_every_origin_may() -> None:
    front = fronted(host="127.0.0.1", cors_origins=["*"])
    assert await status(front, "localhost", "https://evil.example") == 200


@pytest.mark.parametrize(
    ("host", "alone"),
    [
        ("localhost", True),
        ("127.0.0.1", True),
        ("127.8.0.1", True),
        ("::1", True),
        ("[::1]", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.1", False),
        ("models.example", False),
        ("localhost.example", False),
        ("", False),
        (None, False),
    ],
)
def test_only_loopback_is_served_without_keys_unless_a_setting_says_so(
    host: str | None, alone: bool
) -> None:
    assert is_loopback(host) is alone
    require_keys(Settings(allow_anonymous=True), host)
    require_keys(Settings(api_keys_file="/etc/keys"), host)
    if alone:
        require_keys(Settings(), host)
        return
    with pytest.raises(ConfigError) as caught:
        require_keys(Settings(), host)
    for name in ("PRSM_HF_API_KEYS_FILE", "PRSM_HF_ALLOW_ANONYMOUS", "127.0.0.1"):
        assert name in str(caught.value)


async def test_a_page_of_an_allowed_site_may_read_an_unforeseen_failure() -> None:
    async def breaks(scope: Scope, receive: Receive, send: Send) -> None:
        raise RuntimeError("inside")

    front = fronted(breaks, cors_origins=["https://a.example"])
    response = await asked(front, headers=[("origin", "https://a.example")])
    assert response.status_code == 500
    assert response.headers["access-control-allow-origin"] == "https://a.example"
