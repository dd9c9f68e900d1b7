"""An answer that is refused because others are not read counts as the 429 that its client gets."""

from __future__ import annotations

import asyncio
import json

from tests.deployments.metrics.reading import figures
from tests.serve_app import house
from tests.serve_app.house import FAST, NATIVE, generated
from tests.serve_app.ingress.front.fronting import Wire
from tests.serve_app.local_handle import Family, happens

GENERATE = f"{NATIVE}/generate"
BODY = {"prompt": "Hi"}
LONG = "x" * 100_000


async def test_an_answer_without_room_is_an_error_of_its_model() -> None:
    family = Family(generated(LONG), generated(LONG), generated("short"))
    application = house.app({"generation": family}, max_inflight_answer_bytes=150_000)
    headers = [(b"content-type", b"application/json")]
    idle = Wire(application, path=GENERATE, headers=headers, root_path="", takes=1)
    idle.arrives(json.dumps(BODY).encode(), more=False)
    await happens(idle.begun)  # the client takes the head, and not the body
    assert (await house.post(application, GENERATE, BODY)).status_code == 429
    assert (await house.post(application, GENERATE, BODY)).status_code == 200
    idle.done.cancel()
    await asyncio.wait([idle.done])
    found = figures((await house.get(application, "/metrics")).text)
    assert found["requests_total", FAST, "generate", "error"] == 1
    assert found["rejections_total", "generate", "rate_limit_error"] == 1
    assert found["requests_total", FAST, "generate", "success"] == 2  # idle's was sent to the front
