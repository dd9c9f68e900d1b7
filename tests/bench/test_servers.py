"""Servers of a comparison: started, measured by one client, and ended afterwards."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import psutil
import pytest
import yaml

from bench.embeddings import QueryBesideBulk, fairness, forward_limit_ms
from bench.load_sides import IncompleteError, http_side, interruptible, noting_failures, run_loads
from bench.pairs import alternated
from bench.peers.running import Server, ServerFailed, free_port
from bench.peers.servers import trimmed
from configs.profile_file import load_profile
from serve_app.load.figures import LoadFigures, RequestSample, figures
from serve_app.load.load import Load


def stub(name: str = "stub", *, command: Sequence[str] | None = None) -> Server:
    port = free_port()
    uvicorn = [sys.executable, "-m", "uvicorn", "bench.stub:app", "--port", str(port)]
    return Server(name, "none", command or uvicorn, port, "/health")


def test_a_server_is_measured_while_it_runs_and_ended_afterwards() -> None:
    with stub().running() as server:
        (got,) = run_loads(server, Load("chat", clients=4, requests=20, new_tokens=9))
        (process,) = (
            child for child in psutil.Process().children() if "uvicorn" in command_line(child)
        )
    assert (got.succeeded, got.units) == (20, 180)
    assert not process.is_running()


def command_line(process: psutil.Process) -> str:
    """Empty for a process that has ended meanwhile, as one of an earlier test may have."""
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return ""


def test_two_loads_run_at_the_same_time() -> None:
    with stub().running() as server:
        bulk = Load("embeddings", clients=1, requests=3, per_request=100)
        many, single = run_loads(server, bulk, Load("embeddings", clients=2, requests=4))
    assert (many.units, single.units) == (300, 4)


def test_a_server_that_ends_at_once_is_an_error_with_the_end_of_its_log() -> None:
    dying = stub(command=[sys.executable, "-c", "raise SystemExit('no such model')"])
    with pytest.raises(ServerFailed, match="no such model"), dying.running():
        pass


def test_answers_that_fail_are_compared_with_nothing() -> None:
    with stub().running() as server, pytest.raises(IncompleteError, match="HTTP 404"):
        run_loads(server, Load("rerank", requests=1))


def test_a_peer_that_cannot_be_measured_is_noted_and_the_others_go_on() -> None:
    notes: list[str] = []
    with noting_failures(notes):
        raise ServerFailed("it is not installed")
    assert notes == ["Not measured: it is not installed"]


def test_ctrl_c_leaves_what_was_measured() -> None:
    notes: list[str] = []
    with interruptible(notes):
        raise KeyboardInterrupt
    assert notes == ["Interrupted: the rest was not measured."]


def test_both_sides_of_a_round_get_the_same_requests() -> None:
    with stub("a").running() as one, stub("b").running() as other:
        collected: list[LoadFigures] = []
        load = Load("embeddings", clients=2, requests=10)
        sides = [http_side(each, load, lambda got: got.units_per_s, collected=collected)
                 for each in (one, other)]  # fmt: skip
        pair = alternated(*sides, rounds=2)
    assert len(pair.ratios) == 2
    assert [each.units for each in collected] == [10] * 4


@pytest.mark.parametrize("families", [["embeddings"], ["generation"], ["reranking", "vision"]])
def test_a_trimmed_profile_is_whole(tmp_path: Path, families: list[str]) -> None:
    path = tmp_path / "profile.yaml"
    path.write_text(yaml.safe_dump(trimmed(families)))
    assert [family.name for family in load_profile(path).families] == families


def test_fairness_is_the_medians_of_the_rounds() -> None:
    def rate(texts: int) -> LoadFigures:
        return figures([RequestSample(0.0, 1.0, units=texts)], clients=1, unit="texts")

    def wait(seconds: float) -> LoadFigures:
        return figures([RequestSample(0.0, seconds, units=1)], clients=1, unit="texts")

    rounds = [
        QueryBesideBulk(wait(0.010), wait(0.110), rate(100), rate(90)),
        QueryBesideBulk(wait(0.020), wait(0.300), rate(100), rate(50)),
        QueryBesideBulk(wait(0.012), wait(0.120), rate(200), rate(170)),
    ]
    aim = f"≤ {12 + 2 * forward_limit_ms():.0f}"
    assert fairness(rounds) == ["12", "120", aim, "120", "100", "**0.85**"]
