"""Several loads one after the other against one server: warmed up, shown, and stopped by Ctrl-C."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from serve_app.load.client import LoadClient
from serve_app.load.figures import LoadFigures, RequestSample, figures
from serve_app.load.load import Load
from serve_app.load.request_kinds import KINDS

TICK_S = 0.2

ProgressCallback = Callable[[Load, int, int, float], None]
"""Hears of a load under way: requests answered, requests failed, seconds since it began."""


class BenchError(Exception):
    """The server cannot be measured; the message says why."""


@dataclass
class SweepResult:
    """What a sweep brought, level by level; ``interrupted`` if not all of it was run."""

    model: str | None = None
    figures: list[LoadFigures] = field(default_factory=list)
    samples: list[list[RequestSample]] = field(default_factory=list)
    interrupted: bool = False


async def sweep(
    url: str, loads: Sequence[Load], *, warm_up: int, api_key: str | None, shown: ProgressCallback
) -> SweepResult:
    """Run ``loads`` in order, after ``warm_up`` requests that do not count.

    Cancelling it keeps what was measured so far. Raises ``BenchError`` when the very first request
    fails, and ``BadTextsError`` when a file of texts cannot be used.
    """
    outcome = SweepResult()
    async with LoadClient.open(url, api_key) as bench:
        try:
            outcome.model = await _model(bench, loads[0])
            loads = [replace(load, model=outcome.model) for load in loads]
            await _first_answer(bench, loads[0])
            await bench.run(loads[0].warm_up(warm_up))
            for load in loads:
                await _level(bench, load, outcome, shown)
        except asyncio.CancelledError:
            outcome.interrupted = True
    return outcome


async def _level(
    bench: LoadClient, load: Load, outcome: SweepResult, shown: ProgressCallback
) -> None:
    samples: list[RequestSample] = []
    outcome.samples.append(samples)
    ticking = asyncio.create_task(_tick(load, samples, shown))
    try:
        outcome.figures.append(await bench.run(load, samples))
    except asyncio.CancelledError:
        unit = KINDS[load.what].unit
        measured = figures(samples, clients=load.clients, unit=unit)
        outcome.figures.append(replace(measured, interrupted=True))
        raise
    finally:
        ticking.cancel()


async def _tick(load: Load, samples: Sequence[RequestSample], shown: ProgressCallback) -> None:
    began_s = asyncio.get_running_loop().time()
    seen = failed = 0
    while True:
        await asyncio.sleep(TICK_S)
        new = samples[seen:]
        seen += len(new)
        failed += sum(1 for sample in new if sample.error is not None)
        shown(load, seen - failed, failed, asyncio.get_running_loop().time() - began_s)


async def _model(bench: LoadClient, load: Load) -> str | None:
    """The model to name: the one that was asked for, or the server's only one.

    A server of several chooses for itself, or refuses, and then its list is part of the message.
    """
    if load.model is not None:
        return load.model
    listed = await bench.models()
    return listed[0] if len(listed) == 1 else None


async def _first_answer(bench: LoadClient, load: Load) -> None:
    first = await bench.run(replace(load.warm_up(1), clients=1))
    if not first.failed:
        return
    (kind, detail), *_ = first.details.items()
    listed = await bench.models() if load.model is None else []
    hint = f"\nname a model with --model: {', '.join(listed)}" if listed else ""
    raise BenchError(f"the first request failed: {kind}: {detail}{hint}")
