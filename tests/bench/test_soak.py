"""What fails a soak: growth, and requests that are lost; and to which part a process belongs."""

from __future__ import annotations

import random

import httpx
import pytest

from bench.parts_watch import OTHERS, PartUse, growths, part_of
from bench.soak import SoakRun, ask


def grown(figure: str, *values: float) -> bool:
    found = growths([{"Ingress": PartUse(**{figure: value})} for value in values])
    (one,) = [each for each in found if each.figure == figure]
    return not one.is_flat


def test_what_fills_early_is_no_growth() -> None:
    assert not grown("memory_mib", 100, 300, 400, 400, 401, 400, 402, 401)


def test_what_goes_on_growing_is_growth() -> None:
    assert grown("memory_mib", *range(100, 900, 100))
    assert grown("descriptors", 20, 20, 20, 20, 21, 22, 23, 24)
    assert grown("threads", 9, 9, 9, 9, 9, 9, 14, 14)


def test_little_beside_what_there_is_is_noise() -> None:
    assert not grown("memory_mib", 50, 50, 50, 50, 60, 60, 60, 60)
    assert not grown("descriptors", *[1000] * 4, *[1020] * 4)


def test_a_part_that_comes_late_has_grown() -> None:
    looks = [{"raylet": PartUse()}] * 6 + [{"raylet": PartUse(), "new": PartUse(threads=9)}] * 2
    assert [each.part for each in growths(looks) if not each.is_flat] == ["new"]


async def asked(answer: int | type[httpx.TransportError]) -> SoakRun:
    """A run of one request that is answered with a status, or not at all."""

    def answered(request: httpx.Request) -> httpx.Response:
        if isinstance(answer, int):
            return httpx.Response(answer)
        raise answer("", request=request)

    run = SoakRun(slots_in_use=[0.0])
    transport = httpx.MockTransport(answered)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        await ask(client, random.Random(7), run)
    return run


@pytest.mark.parametrize("lost", [httpx.ReadTimeout, httpx.ReadError, 500, 503])
async def test_a_request_that_hangs_is_cut_or_fails_is_a_fault(
    lost: int | type[httpx.TransportError],
) -> None:
    assert (await asked(lost)).failed


async def test_answers_refusals_and_free_slots_are_none() -> None:
    run = await asked(200)
    run.answers.update(["400", "cancelled"])
    assert not run.failed
    run.slots_in_use.append(1.0)
    assert run.failed


@pytest.mark.parametrize(
    ("command", "part"),
    [
        ("ray::ServeReplica:prsm:Generation.handle_request", "Generation"),
        ("ray::ServeReplica:prsm:Ingress", "Ingress"),
        ("python -m deployments.engine.own_process.server 62", "torch engine"),
        ("/tmp/x/haproxy -db -f cfg", "HAProxy"),
        ("python something", OTHERS),
    ],
)
def test_a_process_is_found_by_its_command_line(command: str, part: str) -> None:
    assert part_of(command) == part
