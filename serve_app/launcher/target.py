"""Which dashboard `status` asks."""

from collections.abc import Mapping
from pathlib import Path

from serve_app.launcher import runs
from serve_app.launcher.auth import MODE, TOKEN, TOKEN_PATH, read_token

DEFAULT_URL = "http://127.0.0.1:8265"


def status_target(
    address: str | None, environment: Mapping[str, str], base: Path | None = None
) -> tuple[str, str | None]:
    """URL and token: the given address, else this machine's newest start, else Ray's default."""
    started = [run for run in runs.live(base or runs.base_directory()) if run.dashboard_url]
    wanted = _url(address) if address else None
    for run in started:
        if wanted in (None, run.dashboard_url):
            return run.dashboard_url, read_token(_with_token(environment, run.token_path))
    return wanted or DEFAULT_URL, read_token(environment)


def _url(address: str) -> str:
    return (address if "://" in address else f"http://{address}").rstrip("/")


def _with_token(environment: Mapping[str, str], token_path: str) -> dict[str, str]:
    decided = any(name in environment for name in (MODE, TOKEN, TOKEN_PATH))
    return dict(environment) if decided or not token_path else {TOKEN_PATH: token_path}
