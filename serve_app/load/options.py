"""The command `prsm-serve bench`: reads its options into loads and runs them."""

import sys
from pathlib import Path
from typing import Any

import click


@click.command()
@click.argument("url")
@click.option(
    "--what", type=click.Choice(["chat", "completions", "embeddings", "rerank"]), default="chat"
)
@click.option("--model", metavar="NAME", help="[default: the server's only one, or its choice]")
@click.option(
    "--clients",
    metavar="N[,N…]",
    default="8",
    help="Clients at the same time; several numbers are a sweep.",
)
@click.option("--requests", type=click.IntRange(1, 1_000_000), help="For each number of clients.")
@click.option(
    "--seconds", type=click.FloatRange(0.1, 3600), help="Begin no request after so many seconds."
)
@click.option(
    "--texts",
    metavar="short|mixed|FILE",
    default="mixed",
    help="8 words, 4 to 160 words, or a file with one text on each line.",
)
@click.option(
    "--per-request",
    type=click.IntRange(1, 2048),
    default=1,
    help="Texts, or documents to rank, in one request.",
)
@click.option(
    "--new-tokens",
    type=click.IntRange(1, 100_000),
    default=48,
    help="At most so many for each answer.",
)
@click.option("--temperature", type=click.FloatRange(0, 2), default=0)
@click.option("--stream/--no-stream", default=True)
@click.option(
    "--warm-up",
    type=click.IntRange(0, 10_000),
    default=8,
    help="Requests sent first and not measured.",
)
@click.option("--seed", type=int, default=0, help="Seed of the texts.")
@click.option(
    "--timeout", type=click.FloatRange(0.1, 3600), default=120, help="Seconds for one request."
)
@click.option("--api-key", envvar="PRSM_BENCH_API_KEY", help="[env: PRSM_BENCH_API_KEY]")
@click.option(
    "--json",
    "json_file",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="Write every figure to this file.",
)
def bench(
    url: str,
    what: str,
    clients: str,
    requests: int | None,
    seconds: float | None,
    warm_up: int,
    timeout: float,
    api_key: str | None,
    json_file: Path | None,
    **rest: Any,
) -> None:
    """Measure any running server that speaks OpenAI's protocol.

    URL is the server's root, as http://127.0.0.1:8000, or the URL before /chat/completions.
    Without --requests and --seconds each number of clients sends 64 requests. Ctrl-C shows what was
    measured so far. The exit code is 0 only when every request was answered.
    """
    from serve_app.load.command import bench as measure
    from serve_app.load.load import MAX_REQUESTS, MAX_SECONDS, Load

    if requests is None and seconds is None:
        requests = 64
    load = Load(
        what,
        requests=requests or MAX_REQUESTS,
        seconds=seconds or MAX_SECONDS,
        timeout_s=timeout,
        **rest,
    )
    code = measure(
        url,
        [load.with_clients(number) for number in _numbers_of_clients(clients)],
        warm_up=warm_up,
        api_key=api_key,
        json_file=json_file,
    )
    sys.exit(code)


def _numbers_of_clients(text: str) -> list[int]:
    numbers = [int(part) if part.strip().isdecimal() else 0 for part in text.split(",")]
    if not all(1 <= number <= 1024 for number in numbers) or len(numbers) > 32:
        raise click.BadParameter("1 to 32 numbers from 1 to 1024", param_hint="--clients")
    return numbers
