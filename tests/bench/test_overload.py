"""What makes the bench of overload fail: a missed aim, and a goodput that there is not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest
from click.testing import CliRunner, Result

from bench import overload
from bench.overload import STAND_IN, NoGoodput, Outcome, main, measured
from serve_app.load.figures import Percentiles

NOTHING = Percentiles.of([])
REACHED = Outcome(
    kind=STAND_IN,
    alone_s=1.0,
    peak=10.0,
    at_peak=Percentiles(1.0, 1.0, 1.0),
    deadline_s=3.0,
    goodput=9.5,
    admitted=Percentiles(1.0, 1.0, 1.0),
    refused=Percentiles(0.004, 0.2, 0.4),
    refusals=1000,
    late=3,
    failed=0,
    retry_after_s=(1, 5),
    ingress_s=0.0004,
)


@dataclass
class Served:
    port: int = 1

    @contextmanager
    def running(self) -> Iterator[Served]:
        yield self


def run(monkeypatch: pytest.MonkeyPatch, outcome: Outcome | NoGoodput) -> Result:
    async def found(*_: Any) -> Outcome:
        if isinstance(outcome, NoGoodput):
            raise outcome
        return outcome

    monkeypatch.setattr(overload, "stand_in", Served)
    monkeypatch.setattr(overload, "measured", found)
    return CliRunner().invoke(main, ["--stand-in"])


def test_every_aim_reached_is_a_success(monkeypatch: pytest.MonkeyPatch) -> None:
    result = run(monkeypatch, REACHED)
    assert result.exit_code == 0, result.output
    assert result.output.endswith("every aim was reached\n")


def test_where_nothing_was_refused_there_is_no_refusal_to_be_slow() -> None:
    assert replace(REACHED, refusals=0, refused=NOTHING, ingress_s=0.5).missed == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"goodput": 8.9}, "generation: the ratio is 0.89"),
        ({"goodput": 0.0, "admitted": NOTHING}, "generation: the ratio is 0.00"),
        ({"failed": 2}, "generation: 2 requests failed"),
        ({"refused": Percentiles(0.06, 0.2, 0.4)}, "generation: a refusal takes 60 ms"),
        ({"ingress_s": 0.0006}, "generation: a refusal takes 0.60 ms of the ingress"),
    ],
)
def test_an_aim_that_was_missed_is_said_and_fails(
    monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], said: str
) -> None:
    result = run(monkeypatch, replace(REACHED, **change))
    assert result.exit_code == 1
    assert result.output.endswith(f"{said}\n")


def test_a_goodput_that_could_not_be_measured_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    result = run(monkeypatch, NoGoodput("generation: nothing was answered at the peak"))
    assert result.exit_code == 1
    assert "nothing was answered at the peak" in result.output


@asynccontextmanager
async def refusing() -> AsyncIterator[int]:
    """The port of a server that is always unavailable."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 503 Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


async def test_a_server_that_answers_nothing_has_no_goodput(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(overload, "WARM_UP_S", 0.05)
    async with refusing() as port:
        with pytest.raises(NoGoodput, match="to one client"):
            await measured(port, STAND_IN, 0.1, 3.0)
