"""Libraries of a comparison run in a process of their own and give a sample of each request."""

from __future__ import annotations

import subprocess
import sys

import pytest

from bench.load_sides import library_side
from bench.peers.inprocess import Library
from serve_app.load.figures import LoadFigures
from serve_app.load.load import Load

# Answers each load with as many requests, of 3 tokens in 2 seconds.
STUB = """
import json, sys
for line in sys.stdin:
    load = json.loads(line)
    sample = {"began_s": 1.0, "ended_s": 3.0, "units": 3, "first_s": 1.5, "last_s": 3.0}
    print(json.dumps([sample] * load["requests"]), flush=True)
"""


def stub(program: str) -> Library:
    command = [sys.executable, "-c", program]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
    )
    return Library("stub", process)


def test_a_library_has_the_figures_of_a_server() -> None:
    started = stub(STUB)
    collected: list[LoadFigures] = []
    load = Load("chat", clients=2, requests=4)
    side = library_side(
        started, load, lambda got: got.units_per_s, arithmetic="none", collected=collected
    )
    assert side.measure() == 6.0
    (got,) = collected
    assert (got.succeeded, got.units, got.first.p50, got.unit) == (4, 12, 0.5, "tokens")
    started.process.communicate()


def test_a_library_that_ends_is_an_error() -> None:
    started = stub("input()")
    with pytest.raises(RuntimeError, match="stub ended"):
        started.run(Load("chat", requests=1))
    started.process.communicate()
