"""What the front refuses is counted with its reason, and what a key uses by its name."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from tests.deployments.metrics.reading import figures
from tests.serve_app import house
from tests.serve_app.house import generated
from tests.serve_app.ingress.metering.counting import GENERATE, counted, requests
from tests.serve_app.local_handle import Family


@pytest.mark.parametrize(
    ("headers", "settings", "reason"),
    [
        ({"x-request-id": "two words"}, {}, "validation_error"),
        ({}, {"max_body_bytes": 2}, "payload_too_large"),
        ({"content-encoding": "gzip"}, {}, "unsupported_media_type"),
        ({"host": "evil.example"}, {"allowed_hosts": ["house"]}, "authorization_error"),
    ],
)
async def test_what_the_front_refuses_is_counted_with_its_reason(
    headers: dict[str, str], settings: dict[str, Any], reason: str
) -> None:
    application = house.app(**settings)
    await house.post(application, GENERATE, {"prompt": "Hi"}, **headers)
    await house.post(application, "/v1/nothing", {"prompt": "Hi"}, **headers)
    await house.post(application, "/v1/models", {"prompt": "Hi"}, **headers)
    found = await counted(application)
    assert requests(found) == {("unknown", "generate", "error"): 1}
    assert found["rejections_total", "generate", reason] == 1


async def test_a_request_without_a_known_key_is_counted_with_its_reason(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text(f"root:{hashlib.sha256(b'sk').hexdigest()}:admin")
    application = house.app(api_keys_file=keys)
    for key in ("sk", "none"):
        await house.post(application, GENERATE, {"prompt": "Hi"}, **{"x-api-key": key})
    response = await house.get(application, "/metrics", **{"x-api-key": "sk"})
    found = figures(response.text)
    assert found["rejections_total", "generate", "authorization_error"] == 1
    assert found["rejections_total", "generate", "authentication_error"] == 1


async def test_what_a_key_uses_is_counted_by_its_name_and_so_are_its_refusals(
    tmp_path: Path,
) -> None:
    digests = {name: hashlib.sha256(name.encode()).hexdigest() for name in ("ada", "root")}
    keys = tmp_path / "keys"
    keys.write_text(f"ada:{digests['ada']}\nroot:{digests['root']}:admin\n")
    application = house.app(
        {"generation": Family(generated("there"))}, api_keys_file=keys, max_body_bytes=100
    )
    for key, prompt in (("ada", "Hi"), ("ada", "x" * 200), ("unknown", "Hi")):
        await house.post(application, GENERATE, {"prompt": prompt}, **{"x-api-key": key})
    response = await house.get(application, "/metrics", **{"x-api-key": "root"})
    found = figures(response.text)
    of_keys = ("key_requests_total", "key_tokens_in_total", "key_tokens_out_total")
    assert {key: value for key, value in found.items() if key[0] in of_keys} == {
        ("key_requests_total", "ada", "success"): 1,
        ("key_requests_total", "ada", "error"): 1,
        ("key_tokens_in_total", "ada"): 3,
        ("key_tokens_out_total", "ada"): 2,
    }
