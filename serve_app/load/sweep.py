"""Runs several loads, one after the other, against one server, after a warm-up."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from serve_app.load.client import LoadClient
from serve_app.load.figures import LoadFigures, RequestSample, figures
from serve_app.load.load import Load
from serve_app.load.request_kinds import KINDS

TICK_S = 0.2

ProgressCallback = Callable[[Load, int, int, float], None]
"""Gets, of a running load: requests answered, requests failed, seconds since it began."""


class BenchError(Exception):
    """The server cannot be measured; the message says why."""


@dataclass
class SweepResult:
    """The figures and samples of each load of a sweep; ``interrupted`` if some did not run."""

    model: str | None = None
    figures: list[LoadFigures] = field(default_factory=list)
    samples: list[list[RequestSample]] = field(default_factory=list)
    interrupted: bool = False


async def sweep(
    url: str, loads: Sequence[Load], *, warm_up: int, api_key: str | None, report: ProgressCallback
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
                await _level(bench, load, outcome, report)
        except asyncio.CancelledError:
            outcome.interrupted = True
    return outcome


async def _level(
    bench: LoadClient, load: Load, outcome: SweepResult, report: ProgressCallback
) -> None:
    samples: list[RequestSample] = []
    outcome.samples.append(samples)
    reporting = asyncio.create_task(_report_progress(load, samples, report))
    try:
        outcome.figures.append(await bench.run(load, samples))
    except asyncio.CancelledError:
        unit = KINDS[load.what].unit
        measured = figures(samples, clients=load.clients, unit=unit)
        outcome.figures.append(replace(measured, interrupted=True))
        raise
    finally:
        reporting.cancel()


async def _report_progress(
    load: Load, samples: Sequence[RequestSample], report: ProgressCallback
) -> None:
    began_s = asyncio.get_running_loop().time()
    seen = failed = 0
    while True:
        await asyncio.sleep(TICK_S)
        new = samples[seen:]
        seen += len(new)
        failed += sum(1 for sample in new if sample.error is not None)
        report(load, seen - failed, failed, asyncio.get_running_loop().time() - began_s)


async def _model(bench: LoadClient, load: Load) -> str | None:
    """The model to name in requests: the load's, or the only one of the server.

    A server with several models chooses one or refuses; the error message then lists them.
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
