"""The table that `prsm-serve keys list` prints."""

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.markup import escape
from rich.table import Table

from serve_app.ingress.api_key import ApiKey
from serve_app.ingress.keys.records import StoredKey
from serve_app.launcher.progress import say, terminal


def print_keys(stored: Sequence[StoredKey], in_file: Iterable[ApiKey], as_json: bool) -> None:
    """The keys of the database and of the file."""
    entries = [_stored(each) for each in stored] + [_entry(key, "file") for key in in_file]
    if as_json:
        say(json.dumps(entries, indent=2))
        return
    table = Table()
    titles = ("name", "state", "scopes", "families", "a minute", "weight", "expires", "used")
    for title in titles:
        table.add_column(title, overflow="fold")
    for each in entries:
        limits = [
            f"{each[f'{what}_per_minute']} {what}"
            for what in ("requests", "tokens")
            if each[f"{what}_per_minute"] is not None
        ]
        used = f"{each['used']}: {each['requests']} requests, {each['tokens']} tokens"
        table.add_row(
            escape(each["name"]),
            each["state"],
            ", ".join(each["scopes"]),
            ", ".join(each["families"]) or "all",
            "\n".join(limits) or "–",
            f"{each['weight']:g}",
            each["expires"] or "–",
            used if each["used"] else "–",
        )
    terminal().print(table)


def _stored(row: StoredKey) -> dict[str, Any]:
    ended = "expired" if row.revoked is None else "revoked"
    state = ended if row.ended else "valid"
    return _entry(row.key, state) | {
        "created": _time(row.created),
        "used": _time(row.used),
        "requests": row.amounts.requests,
        "tokens": row.amounts.tokens,
    }


def _entry(key: ApiKey, state: str) -> dict[str, Any]:
    """``requests`` and ``tokens`` are those of all keys of the name, in all."""
    return {
        "name": key.name,
        "state": state,
        "scopes": sorted(key.scopes),
        "families": sorted(key.families),
        "requests_per_minute": key.requests_per_minute,
        "tokens_per_minute": key.tokens_per_minute,
        "weight": key.weight,
        "created": None,
        "expires": _time(key.expires),
        "used": None,
        "requests": 0,
        "tokens": 0,
    }


def _time(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
