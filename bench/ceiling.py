# ruff: noqa: T201 - a command that prints a table
"""Measures the client of `prsm-serve bench` itself, against a stub server that answers at once.

    python -m bench.ceiling

The stub shares the machine, so these rates are lower bounds of what the client can do. Where a
server's figure comes near one of them, the client was the bottleneck, not the server.
"""

from __future__ import annotations

import sys

from bench.load_sides import run_loads
from bench.pairs import machine, table, tell
from bench.peers.running import Server, free_port
from serve_app.load.load import Load

SECONDS = 4.0
LOADS = {
    "vectors of one short text": Load("embeddings", clients=32, seconds=SECONDS, texts="short"),
    "vectors of 512 texts": Load("embeddings", clients=1, seconds=SECONDS, per_request=512),
    "streams of 48 tokens": Load("chat", clients=16, seconds=SECONDS),
}


def main() -> None:
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "bench.stub:app", "--port", str(port)]
    quiet = [*command, "--log-level", "warning"]
    rows = []
    with Server("stub", "none", quiet, port, "/health").running() as server:
        for name, load in LOADS.items():
            tell(name)
            (got,) = run_loads(server, load)
            cost = got.client_cpu / got.requests_per_s * 1000
            rates = (f"{got.requests_per_s:.0f}", f"{got.units_per_s:.0f} {got.unit}/s")
            rows.append([name, *rates, f"{cost:.2f}", f"{got.client_cpu:.0%}"])
    print(f"{machine()}\n")
    print(table(["answers", "requests/s", "", "client, ms a request", "of one core"], rows))


if __name__ == "__main__":
    main()
