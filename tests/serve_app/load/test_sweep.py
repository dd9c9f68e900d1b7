"""A sweep and its output: loads in order, the model, the first failure, and Ctrl-C."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from serve_app.cli import main
from serve_app.load.load import Load
from serve_app.load.report import figures_table, plot, report_json
from serve_app.load.sweep import BenchError, SweepResult, sweep
from tests.serve_app.load.stub import Stub


async def run(stub: Stub, *loads: Load, warm_up: int = 0) -> SweepResult:
    return await sweep(stub.url, loads, warm_up=warm_up, api_key=None, report=lambda *_: None)


async def test_loads_run_in_order_and_the_warm_up_is_not_counted(stub: Stub) -> None:
    loads = [Load("embeddings", clients=clients, requests=10) for clients in (1, 4)]
    outcome = await run(stub, *loads, warm_up=3)
    assert [row.clients for row in outcome.figures] == [1, 4]
    assert [row.succeeded for row in outcome.figures] == [10, 10]
    assert len(stub.bodies) == 1 + 3 + 20


async def test_the_servers_only_model_is_named(stub: Stub) -> None:
    assert (await run(stub, Load("chat", requests=1))).model == "the-only-one"
    assert stub.bodies[-1]["model"] == "the-only-one"


async def test_a_server_of_several_models_chooses(stub: Stub) -> None:
    stub.models = ["one", "two"]
    assert (await run(stub, Load("chat", requests=1))).model is None
    assert "model" not in stub.bodies[-1]


async def test_a_server_that_refuses_the_first_request_is_not_measured(stub: Stub) -> None:
    stub.models = ["one", "two"]
    stub.fails = {1: 400}
    with pytest.raises(BenchError, match=r"HTTP 400.*out of order.*\n.*--model: one, two"):
        await run(stub, Load("chat", requests=8))
    assert len(stub.bodies) == 1


async def test_an_interrupted_sweep_keeps_what_it_measured(stub: Stub) -> None:
    loads = [Load("embeddings", clients=2, requests=count) for count in (4, 1000, 7)]
    running = asyncio.create_task(run(stub, *loads))
    await stub.received(20)
    running.cancel()
    outcome = await running
    assert outcome.interrupted
    assert outcome.figures[0].succeeded == 4
    assert 0 < outcome.figures[1].succeeded < 1000
    assert len(outcome.figures) == 2
    levels = report_json(stub.url, loads, outcome.figures)["levels"]
    assert levels[1]["load"]["requests"] == 1000
    assert [level["interrupted"] for level in levels] == [False, True]


async def test_the_row_that_was_cut_short_says_so(stub: Stub) -> None:
    loads = [
        Load("embeddings", clients=clients, requests=count)
        for clients, count in ((2, 4), (4, 1000))
    ]
    running = asyncio.create_task(run(stub, *loads))
    await stub.received(20)
    running.cancel()
    clients = figures_table((await running).figures).columns[0]
    assert list(clients.cells) == ["2", "4 (cut short)"]


async def test_a_whole_sweep_has_no_row_that_was_cut_short(stub: Stub) -> None:
    load = Load("embeddings", clients=2, requests=4)
    outcome = await run(stub, load)
    assert list(figures_table(outcome.figures).columns[0].cells) == ["2"]
    assert [
        level["interrupted"] for level in report_json(stub.url, [load], outcome.figures)["levels"]
    ] == [False]


async def test_a_plot_has_its_last_tick_at_the_largest_value(stub: Stub) -> None:
    outcome = await run(stub, *(Load("chat", clients=n, requests=4) for n in (1, 7)))
    several = plot(outcome.figures, outcome.samples)
    single = plot(outcome.figures[:1], outcome.samples[:1])
    assert "tokens/s" in several
    assert several.splitlines()[-1].split()[-1] == "7"
    assert "latency ms" in single
    assert single.splitlines()[-1].split()[-1] == "100"


async def test_the_command_prints_a_table_and_writes_every_figure(
    stub: Stub, tmp_path: Path
) -> None:
    file = tmp_path / "figures.json"
    arguments = ["bench", stub.url, "--clients", "1,3", "--requests", "5", "--new-tokens", "4"]
    result = await asyncio.to_thread(
        CliRunner().invoke, main, [*arguments, "--warm-up", "0", "--json", str(file)]
    )
    assert result.exit_code == 0, result.output
    assert "tokens/s" in result.output
    levels = json.loads(file.read_text())["levels"]
    assert [level["figures"]["succeeded"] for level in levels] == [5, 5]
    assert [level["load"]["clients"] for level in levels] == [1, 3]
    assert set(levels[0]["figures"]["latency_s"]) == {"p50", "p90", "p99"}


async def test_the_exit_code_says_that_some_requests_failed(stub: Stub) -> None:
    stub.fails = {3: 503}
    arguments = ["bench", stub.url, "--requests", "5", "--warm-up", "0"]
    result = await asyncio.to_thread(CliRunner().invoke, main, arguments)
    assert result.exit_code == 1
    assert "1 × HTTP 503" in result.output


@pytest.mark.parametrize("clients", ["0", "1,x", "2000", ",".join(["1"] * 33)])
def test_numbers_of_clients_are_bounded(clients: str) -> None:
    result = CliRunner().invoke(main, ["bench", "http://127.0.0.1:9", "--clients", clients])
    assert result.exit_code == 2
    assert "--clients" in result.output


def test_a_server_that_does_not_answer_is_an_error() -> None:
    result = CliRunner().invoke(main, ["bench", "http://127.0.0.1:9"])
    assert result.exit_code == 1
    assert "the first request failed" in result.output


def test_measuring_needs_neither_ray_nor_torch() -> None:
    code = "import serve_app.cli, serve_app.load.command, sys; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert not {"ray", "torch", "transformers", "openvino"} & set(loaded.stdout.split())
