# ruff: noqa: T201 - a command that prints a table
"""What the client of `prsm-serve bench` can do by itself, against a server that answers at once.

    python -m bench.ceiling

The server shares the machine, so these are lower bounds. A figure that comes near one of them says
more about the client than about the server that it was measured on.
"""

from __future__ import annotations

import sys

from bench.load_sides import ask
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
            (got,) = ask(server, load)
            cost = got.client_cpu / got.requests_per_s * 1000
            rates = (f"{got.requests_per_s:.0f}", f"{got.units_per_s:.0f} {got.unit}/s")
            rows.append([name, *rates, f"{cost:.2f}", f"{got.client_cpu:.0%}"])
    print(f"{machine()}\n")
    print(table(["answers", "requests/s", "", "client, ms a request", "of one core"], rows))


if __name__ == "__main__":
    main()
