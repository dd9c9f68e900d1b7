"""Faults of a running graph, and what was lost: ``python -m bench.chaos``."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import httpx

from bench.changes import settled
from bench.chaos.events import Begin, Loads, Scenario, Stores
from bench.chaos.graph import GRAPHS, BrokenGraph, missing
from bench.chaos.reading import Ending, StreamAnswer
from bench.chaos.running import TITLES, Outcome, ScenarioRun, undisturbed
from bench.chaos.scenarios import SCENARIOS, loads
from bench.neighbours import watched
from bench.pairs import machine, table, tell
from bench.peers.running import end_on_sigterm

REQUEST_LIMIT_S = 300.0
SETTLED_S = 2.0


async def measured(
    graph: BrokenGraph,
    chosen: list[Scenario],
    known: Loads,
    wholes: dict[str, list[StreamAnswer]],
) -> list[Outcome]:
    """Each scenario, after those before it. Undisturbed answers that are missing in ``wholes`` are
    read first; every graph computes the same."""
    limits = httpx.Limits(max_connections=200, max_keepalive_connections=0)
    outcomes = []
    async with httpx.AsyncClient(
        base_url=graph.url,
        headers=graph.headers,
        timeout=REQUEST_LIMIT_S,
        limits=limits,
        trust_env=False,
    ) as client:
        for scenario in chosen:
            for each in scenario.events:
                if isinstance(each, Begin) and each.load not in wholes:
                    wholes[each.load] = await undisturbed(client, known, each.load)
                    tell(f"undisturbed: {each.load}")
            tell(f"scenario: {scenario.name}")
            outcome = await ScenarioRun(graph, client, known, wholes, scenario).run()
            explain(outcome)
            await settled(graph.dashboard, SETTLED_S)
            outcomes.append(outcome)
    return outcomes


def explain(outcome: Outcome) -> None:
    """Say how each stream that is not the same ended, but for refusals that are allowed."""
    tell("  " + "  ".join(outcome.row()))
    for each, whole in zip(outcome.answers, outcome.wholes, strict=True):
        if not each.same_as(whole) and (each.is_lost or each.ending is not Ending.REFUSED):
            tell(f"  {each.request.kind}: {each.ending}, {each.count} events of {whole.count}")
            tell(
                f"    {each.detail}"
                if each.detail
                else f"    {difference(each.events, whole.events)}"
            )


def difference(events: dict[int, list[str]], wholes: dict[int, list[str]]) -> str:
    """The first event that differs."""
    for choice, whole in wholes.items():
        for place, wanted in enumerate(whole):
            found = events.get(choice, [])
            if place >= len(found) or found[place] != wanted:
                return f"event {place} of {choice}: {found[place : place + 1]} for {wanted}"
    return "more events than there should be"


def broken(
    stores: Stores,
    chosen: list[Scenario],
    known: Loads,
    wholes: dict[str, list[StreamAnswer]],
) -> list[Outcome]:
    """The outcomes of scenarios on a graph of their own with these stores."""
    tell(f"a graph: {stores}")
    with TemporaryDirectory(prefix="bench-chaos-") as place, GRAPHS[stores](Path(place)) as graph:
        return asyncio.run(measured(graph, chosen, known, wholes))


@click.command()
@click.option("--only", multiple=True, help="The name of a scenario; repeat it for several.")
@click.option("--tokens", default=64, show_default=True, type=click.IntRange(16, 1000))
@click.option("--list", "listed", is_flag=True, help="Print the scenarios' names.")
def main(only: tuple[str, ...], tokens: int, listed: bool) -> None:
    """What is lost when a part of a running graph ends; 0 altered, and 0 silent, is right."""
    if listed:
        click.echo("\n".join(each.name for each in SCENARIOS))
        return
    end_on_sigterm()
    chosen = [each for each in SCENARIOS if not only or each.name in only]
    if not chosen:
        raise click.BadParameter("no scenario has that name", param_hint="--only")
    for stores in sorted({each.stores for each in chosen}):
        if need := missing(stores):
            raise click.UsageError(f"{stores}: {need}, or name other scenarios with --only")
    outcomes, wholes = list[Outcome](), dict[str, list[StreamAnswer]]()
    with watched() as neighbours:
        for stores in Stores:
            if on_it := [each for each in chosen if each.stores is stores]:
                outcomes += broken(stores, on_it, loads(tokens), wholes)
    click.echo(f"{machine()}. {neighbours}\n")
    click.echo(table(TITLES, [each.row() for each in outcomes]))
    sys.exit(not all(each.passed for each in outcomes))


if __name__ == "__main__":
    main()
