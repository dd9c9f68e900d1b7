"""Large bodies that arrive together enter the application one by one; small ones go between."""

from __future__ import annotations

import asyncio
from itertools import pairwise

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from serve_app.ingress.front.front import LARGE_BODY
from serve_app.ingress.loop_turns import TURNS_BETWEEN
from tests.serve_app.ingress.front.fronting import Wire, fronted

LARGE, SMALL = b"a" * (LARGE_BODY + 1), b"a" * LARGE_BODY


class Entered:
    """An application that notes in which turn of the loop each request enters it."""

    def __init__(self) -> None:
        self.turns: dict[str, list[int]] = {"/large": [], "/small": []}
        self.turn = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.turns[scope["path"]].append(self.turn)
        await Response()(scope, receive, send)

    async def count(self) -> None:
        while True:
            self.turn += 1
            await asyncio.sleep(0)


async def entered(*bodies: tuple[str, bytes]) -> dict[str, list[int]]:
    """The turns, counted from the first, in which requests entered whose bodies came at once."""
    app = Entered()
    front = fronted(app)
    counting = asyncio.create_task(app.count())
    wires = [Wire(front, path=path) for path, _ in bodies]
    for wire, (_, body) in zip(wires, bodies, strict=True):
        wire.arrives(body, more=False)
    await asyncio.gather(*(wire.done for wire in wires))
    counting.cancel()
    assert [wire.status for wire in wires] == [200] * len(wires)
    return app.turns


async def test_large_bodies_enter_some_turns_apart() -> None:
    found = (await entered(*[("/large", LARGE)] * 4))["/large"]
    gaps = [later - earlier for earlier, later in pairwise(found)]
    assert min(gaps) >= TURNS_BETWEEN, found


async def test_a_small_body_waits_for_no_large_one() -> None:
    found = await entered(*[("/large", LARGE)] * 4, ("/small", SMALL), ("/small", SMALL))
    assert found["/small"][0] == found["/small"][1] <= found["/large"][0] + 1
    assert found["/small"][1] < found["/large"][1]
