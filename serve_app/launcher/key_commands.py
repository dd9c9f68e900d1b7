"""`prsm-serve keys`: creates, lists, rotates and revokes API keys, while the graph runs."""

import asyncio
import logging
import math
import re
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

from serve_app.ingress.api_key import MAX_WEIGHT, MIN_WEIGHT
from serve_app.launcher.options import refuse

if TYPE_CHECKING:
    from configs.profile import Profile
    from configs.settings import Settings
    from serve_app.ingress.keys.store import KeyStore

T = TypeVar("T")

UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
NAME = re.compile(r"[A-Za-z0-9][\w.\-]{0,63}", re.ASCII)
MAX_AMOUNT = 10**12


class Duration(click.ParamType[float]):
    """Seconds, of a number with a unit, as `90s`, `12h` or `30d`."""

    name = "duration"

    def convert(self, value: Any, param: Any, ctx: Any) -> float:
        if isinstance(value, float):
            return value
        found = re.fullmatch(r"([0-9]{1,9})([smhdw])", str(value))
        if found is None:
            self.fail(f"expected a number with a unit, as 90s, 12h or 30d: {value}", param, ctx)
        return float(found[1]) * UNITS_S[found[2]]


class WordList(click.ParamType[frozenset[str]]):
    """Words with commas between them."""

    name = "words"

    def convert(self, value: Any, param: Any, ctx: Any) -> frozenset[str]:
        if isinstance(value, frozenset):
            return value
        return frozenset(word for each in str(value).split(",") if (word := each.strip()))


name_argument = click.argument("name")
amount = click.IntRange(1, MAX_AMOUNT)
profile_option = click.option(
    "--profile", metavar="NAME|FILE", default="embedded", help="Of the graph: its settings count."
)


@click.group()
def keys() -> None:
    """Manage the API keys in the database that PRSM_HF_KEYS_URL names.

    What is done counts for a running graph within a few seconds. Keys of PRSM_HF_API_KEYS_FILE are
    listed, and changed only in the file.
    """


@keys.command()
@name_argument
@profile_option
@click.option("--scopes", type=WordList(), default="inference", help="inference, admin, or both.")
@click.option(
    "--families", type=WordList(), default="", help="Bind it to these families [default: all]."
)
@click.option("--rpm", type=amount, help="Requests a minute [default: no limit].")
@click.option("--tpm", type=amount, help="Tokens a minute, read and written [default: no limit].")
@click.option(
    "--weight",
    type=click.FloatRange(MIN_WEIGHT, MAX_WEIGHT),
    default=1.0,
    help="Its part of the capacity beside other keys.",
)
@click.option("--expires", type=Duration(), help="Lifetime, as 12h or 30d [default: no end].")
def create(
    name: str,
    profile: str,
    scopes: frozenset[str],
    families: frozenset[str],
    rpm: int | None,
    tpm: int | None,
    weight: float,
    expires: float | None,
) -> None:
    """Make a key and print it. It is shown this once: the database has only its hash."""
    from serve_app.ingress.api_key import SCOPES
    from serve_app.ingress.keys.records import KeyTerms

    settings, served = _settings(profile)
    if NAME.fullmatch(name) is None:
        refuse(f"{name}: expected a name of up to 64 letters, digits, and the characters _ . -")
    if name in {key.name for key in _in_file(settings)}:
        refuse(f"{name}: the file of API keys has a key of this name")
    _known_words("scope", scopes, SCOPES)
    _known_words("family", families, {family.name for family in served.families})
    if not math.isfinite(weight):
        refuse("--weight: expected a number")
    if not scopes:
        refuse("expected at least one scope")
    terms = KeyTerms(scopes, families, rpm, tpm, weight, expires)
    click.echo(_done(settings, lambda store: store.create(name, terms)))
    click.echo(f"This is the key of {name}. It cannot be shown again.", err=True)


@keys.command()
@name_argument
@profile_option
@click.option("--grace", type=Duration(), default="1h", help="The old key is valid for so long.")
@click.option("--expires", type=Duration(), help="[default: as long as the old one was to live]")
def rotate(name: str, profile: str, grace: float, expires: float | None) -> None:
    """Print a new key with the terms of the old one, which ends after the grace time."""
    settings, _ = _settings(profile)
    click.echo(_done(settings, lambda store: store.rotate(name, grace, expires)))
    click.echo(f"This is the new key of {name}. It cannot be shown again.", err=True)


@keys.command()
@name_argument
@profile_option
def revoke(name: str, profile: str) -> None:
    """End all keys of a name."""
    settings, _ = _settings(profile)
    count = _done(settings, lambda store: store.revoke(name))
    if not count:
        refuse(f"there is no key {name} that is valid")
    click.echo(f"{name}: revoked")


@keys.command("list")
@profile_option
@click.option("--json", "as_json", is_flag=True, help="JSON instead of a table.")
def list_keys(profile: str, as_json: bool) -> None:
    """List keys with what they may do and have used; neither keys nor hashes."""
    from serve_app.launcher.key_table import print_keys

    settings, _ = _settings(profile)
    print_keys(_done(settings, lambda store: store.keys()), _in_file(settings), as_json)


def _settings(profile: str) -> "tuple[Settings, Profile]":
    from configs.errors import ConfigError
    from configs.profile import load_settings
    from configs.profile_file import load_profile

    try:
        served = load_profile(profile)
        settings = load_settings(served)
    except ConfigError as error:
        refuse(str(error))
    if settings.keys_url is None:
        refuse(
            "there is no database of keys: set PRSM_HF_KEYS_URL for this command and for the "
            "graph, as sqlite:////srv/keys.sqlite3 or postgresql://user@host/database"
        )
    return settings, served


def _in_file(settings: "Settings") -> "list[Any]":
    from configs.errors import ConfigError
    from serve_app.ingress.front.keys import read_keys

    if settings.api_keys_file is None:
        return []
    try:
        return list(read_keys(settings.api_keys_file).values())
    except ConfigError as error:
        refuse(str(error))


def _known_words(kind: str, given: frozenset[str], known: "frozenset[str] | set[str]") -> None:
    if unknown := sorted(given - known):
        refuse(f"{unknown[0]!r} is no {kind}; there are: {', '.join(sorted(known))}")


def _done(settings: "Settings", do: "Callable[[KeyStore], Awaitable[T]]") -> T:
    """Open the store and do something with it."""
    from serve_app.ingress.errors import Unavailable
    from serve_app.ingress.keys.store import KeyRefused, KeyStore
    from serve_app.ingress.keys.tables import LAYOUT
    from serve_app.ingress.sql.database import Database

    url = settings.keys_database
    assert url is not None

    async def run() -> T:
        store = KeyStore(Database(url, LAYOUT))
        try:
            return await do(store)
        finally:
            await store.close()

    try:
        with _without_logs():
            return asyncio.run(run())
    except KeyRefused as error:
        refuse(str(error))
    except Unavailable as error:
        cause = error.__context__ or error
        refuse(f"the database of API keys: {type(cause).__name__}: {cause}".strip())


@contextmanager
def _without_logs() -> Iterator[None]:
    """What the log of a replica would have is the command's own message."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        yield
    finally:
        logging.disable(before)
