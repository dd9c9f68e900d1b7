"""Goodput under overload: ``python -m bench.overload``.

A graph of real models is started. Each kind of request is measured alone (one client), at its peak
(as many clients as the family works on at a time), and then in an open loop with a multiple of the
peak's rate, in which each request has a deadline. Goodput counts answers that came by then. The
load is made in this process, on the same cores; where that is permitted it waits for none of them,
as on a machine of its own. With ``--stand-in`` there is the ingress alone, before a stand-in of a
text generator (`bench.stand_in`). The exit code is 1 if an aim was missed or a goodput could not be
measured.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import click
import psutil
import uvloop
import yaml

from bench.neighbours import watched
from bench.open_loop import Answer, OpenLoop
from bench.pairs import machine, table, tell
from bench.peers.running import Server, end_on_sigterm, free_port
from bench.peers.servers import ours
from bench.peers.weights import CHAT, VECTORS
from bench.real_time import before_others
from bench.streams import SLOW
from serve_app.load.figures import Percentiles
from serve_app.load.texts import texts_of

FAMILIES = ("generation", "embeddings")
INGRESS = ("ServeReplica:prsm:Ingress", "bench.stand_in")
LATE = 1.02
"""An answer is in time up to so many times its deadline: the way back takes a moment."""
NEW_TOKENS = 32
WARM_UP_S = 4.0
"""One client is measured for as long."""
REFUSAL_AIM_S = 0.05
INGRESS_AIM_S = 0.0005
"""For a refusal: the median until it is there, and the processor time of the ingress."""


class NoGoodput(Exception):
    """Too little was answered for a goodput; the message says what."""


@dataclass(frozen=True)
class Kind:
    """One kind of request. ``clients`` reach its peak; the aim is goodput over the peak."""

    name: str
    path: str
    body: Callable[[int], dict[str, object]]
    clients: int
    factor: float
    aim: float


def _completion(number: int) -> dict[str, object]:
    prompt = f"Story {number} begins on a day when"
    return {"model": CHAT, "prompt": prompt, "max_tokens": NEW_TOKENS, "ignore_eos": True}


def _summary(number: int) -> dict[str, object]:
    texts = texts_of("mixed", number)
    text = f"Report {number}. " + " ".join(texts() for _ in range(3))
    return {"model_name": CHAT, "texts": text[:800], "max_length": NEW_TOKENS, "min_length": 24}


def _vector(number: int) -> dict[str, object]:
    return {"model": VECTORS, "input": f"{number} {texts_of('mixed', number)()}"}


KINDS = (
    Kind("generation", "/v1/completions", _completion, 16, 10, 0.9),
    Kind("summaries", "/api/v1/huggingface/summarize", _summary, 16, 10, 0.9),
    Kind("embeddings", "/v1/embeddings", _vector, 32, 2, 0.7),
)


STAND_IN = Kind(
    "generation", "/v1/completions", lambda n: _completion(n) | {"model": SLOW}, 16, 10, 0.9
)
STEP_MS = 40


def stand_in() -> Server:
    port = free_port()
    command = [sys.executable, "-m", "bench.stand_in", str(port), str(STEP_MS)]
    return Server("stand-in", "none", command, port, "/health/liveness")


@dataclass(frozen=True)
class Outcome:
    """What one kind did. Rates are per second, times in seconds."""

    kind: Kind
    alone_s: float
    peak: float
    at_peak: Percentiles
    deadline_s: float
    goodput: float
    admitted: Percentiles
    refused: Percentiles
    refusals: int
    late: int
    failed: int
    retry_after_s: tuple[int, int]
    ingress_s: float
    """Processor time of the ingress for one refusal: what it takes more than at the peak."""

    @property
    def ratio(self) -> float:
        return self.goodput / self.peak

    @property
    def missed(self) -> list[str]:
        """What did not come about, in the words of the table."""
        wrong = {
            f"the ratio is {self.ratio:.2f}": self.ratio < self.kind.aim,
            f"{self.failed} requests failed": self.failed > 0,
            f"a refusal takes {self.refused.p50 * 1e3:.0f} ms": self.refused.p50 > REFUSAL_AIM_S,
            f"a refusal takes {self.ingress_s * 1e3:.2f} ms of the ingress": (
                self.refusals > 0 and self.ingress_s > INGRESS_AIM_S
            ),
        }
        return [f"{self.kind.name}: {what}" for what, is_so in wrong.items() if is_so]

    def row(self) -> list[str]:
        kind = self.kind
        return [
            f"{kind.name}, {kind.factor:g} x",
            f"{self.peak:.1f}",
            f"{self.deadline_s:.1f}",
            f"{self.goodput:.1f}",
            f"**{self.ratio:.2f}**",
            f"{kind.aim}",
            f"{self.alone_s:.2f} / {self.at_peak.p50:.2f} / {self.admitted.p50:.2f}",
            f"{self.admitted.p99:.2f}",
            f"{self.refused.p50 * 1e3:.0f} / {self.refused.p99 * 1e3:.0f}",
            f"{self.refusals} / {self.late} / {self.failed}",
            "{}–{}".format(*self.retry_after_s),
            f"{self.ingress_s * 1e3:.2f}",
        ]


TITLES = [
    "load",
    "peak, 1/s",
    "deadline, s",
    "goodput, 1/s",
    "ratio",
    "aim",
    "p50 alone / at the peak / admitted, s",
    "admitted p99, s",
    "refusal p50 / p99, ms",
    "refused / late / failed",
    "Retry-After, s",
    "ingress, ms a refusal",
]


async def measured(port: int, kind: Kind, seconds: float, patience: float) -> Outcome:
    """Raises :class:`NoGoodput` where nothing is answered even without too much load."""

    def loop(headers: str = "") -> OpenLoop:
        def body(number: int) -> bytes:
            return json.dumps(kind.body(number)).encode()

        return OpenLoop("127.0.0.1", port, kind.path, body, headers)

    single = loop()
    await single.by_clients(1, WARM_UP_S)
    single.close()
    if not (by_one := _good(single.answers)):
        raise NoGoodput(f"{kind.name}: nothing was answered to one client")
    alone = median(by_one)
    closed = loop()
    await closed.by_clients(kind.clients, WARM_UP_S)
    closed.answers.clear()
    spent = ingress_cpu_s()
    began = await closed.by_clients(kind.clients, seconds)
    closed.close()
    took = max(each.ended for each in closed.answers) - began
    cores_at_peak = (ingress_cpu_s() - spent) / took
    if not (good := _good(closed.answers)):
        raise NoGoodput(f"{kind.name}: nothing was answered at the peak")
    peak, at_peak = len(good) / took, Percentiles.of(good)
    deadline = max(patience * at_peak.p50, 0.2)
    tell(f"{kind.name}: alone {alone:.2f} s, peak {peak:.1f}/s, {at_peak}; deadline {deadline:.2f}")
    opened = loop(f"X-Request-Timeout: {deadline:.3f}\r\n")
    spent = ingress_cpu_s()
    began = await opened.at_rate(kind.factor * peak, seconds + deadline)
    cores = (ingress_cpu_s() - spent) / (whole := time.monotonic() - began)
    opened.close()
    # As of the peak: from an idle service to the last answer, so that whole batches are counted.
    in_time = [a for a in opened.answers if a.status == 200 and a.seconds <= deadline * LATE]
    lasted = max((each.ended for each in in_time), default=began + seconds) - began
    refused = [a for a in opened.answers if a.status == 429]
    answered = [a for a in opened.answers if a.status in (200, 504)]
    delays = [a.retry_after_s for a in refused if a.retry_after_s is not None]
    return Outcome(
        kind,
        alone,
        peak,
        at_peak,
        deadline,
        len(in_time) / lasted,
        Percentiles.of(_good(opened.answers)),
        Percentiles.of([a.seconds for a in refused]),
        len(refused),
        len(answered) - len(in_time),
        sum(a.status not in (200, 429, 504) for a in opened.answers),
        (min(delays, default=0), max(delays, default=0)),
        (cores - cores_at_peak) * whole / max(1, len(refused)),
    )


def with_one_ingress(place: Path) -> Server:
    """The graph, whose ingress has one replica: the start of a second one would count as work on
    requests."""
    server, profile = ours(FAMILIES, place, "Q4_1"), place / "profile.yaml"
    content = yaml.safe_load(profile.read_text(encoding="utf-8"))
    content["ingress"]["autoscaling_config"] |= {"min_replicas": 1, "max_replicas": 1}
    profile.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return server


def ingress_cpu_s() -> float:
    """The processor time of the ingress since its start."""
    total = 0.0
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if any(name in part for part in process.cmdline() for name in INGRESS):
                times = process.cpu_times()
                total += times.user + times.system
    return total


def _good(answers: list[Answer]) -> list[float]:
    return [each.seconds for each in answers if each.status == 200]


@click.command()
@click.option("--seconds", default=20.0, show_default=True, type=click.FloatRange(2, 120))
@click.option("--patience", default=3.0, show_default=True, type=click.FloatRange(1.2, 50))
@click.option("--stand-in", "alone", is_flag=True, help="The ingress alone, without a graph.")
@click.option("--only", multiple=True, type=click.Choice([each.name for each in KINDS]))
def main(seconds: float, patience: float, alone: bool, only: tuple[str, ...]) -> None:
    """Goodput under a multiple of the peak's load.

    A request's deadline is the median latency at the peak times ``patience``.
    """
    end_on_sigterm()
    kinds = (STAND_IN,) if alone else KINDS
    with (
        TemporaryDirectory(prefix="bench-overload-") as place,
        (stand_in() if alone else with_one_ingress(Path(place))).running() as server,
        watched() as neighbours,
        before_others() as first,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        rows, missed = list[list[str]](), list[str]()
        for kind in kinds:
            if only and kind.name not in only:
                continue
            try:
                outcome = runner.run(measured(server.port, kind, seconds, patience))
            except NoGoodput as error:
                missed.append(str(error))
                continue
            rows.append(outcome.row())
            missed += outcome.missed
            tell("  ".join(rows[-1]))
    waiting = "did not wait" if first else "waited"
    click.echo(f"{machine()}. {neighbours} The client {waiting} for cores.\n")
    click.echo(table(TITLES, rows))
    click.echo("\n" + ("; ".join(missed) or "every aim was reached"))
    sys.exit(1 if missed or not rows else 0)


if __name__ == "__main__":
    main()
