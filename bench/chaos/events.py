"""What a scenario is made of: events, one after the other, and what must come of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeAlias

from bench.chaos.processes import Part
from bench.chaos.reading import Refusal
from bench.chaos.requests import StreamRequest

Edit: TypeAlias = Callable[[dict[str, Any]], None]
"""Changes a config of Serve in place."""


@dataclass(frozen=True)
class Begin:
    """Open the streams of the load of this name, all at once.

    Each of them may be refused in the ``allowed`` way, which is no loss.
    """

    load: str
    allowed: Refusal | None = None


@dataclass(frozen=True)
class Reached:
    """Wait until so many of all events have come, as a share of those of the undisturbed run."""

    share: float


@dataclass(frozen=True)
class Wait:
    """Wait for some seconds."""

    seconds: float


@dataclass(frozen=True)
class Kill:
    """`kill -9` every process of a part."""

    part: Part


@dataclass(frozen=True)
class StartAgain:
    """Start every process of a part that was killed, as it had been started."""

    part: Part


@dataclass(frozen=True)
class Suspend:
    """`kill -STOP` every process of a part, which hangs from then on."""

    part: Part


@dataclass(frozen=True)
class Change:
    """Deploy the graph with other options."""

    edit: Edit


@dataclass(frozen=True)
class Misbehave:
    """Clients that leave, do not read, and write slowly; so many of each, beside the load."""

    clients: int


@dataclass(frozen=True)
class FillDisk:
    """Fill the file system that the conversations are stored in."""


@dataclass(frozen=True)
class FreeDisk:
    """Make room there again."""


@dataclass(frozen=True)
class Finish:
    """Wait until every stream has ended."""


Event: TypeAlias = (
    Begin
    | Reached
    | Wait
    | Kill
    | StartAgain
    | Suspend
    | Change
    | Misbehave
    | FillDisk
    | FreeDisk
    | Finish
)


class Stores(StrEnum):
    """Where the graph of a scenario keeps what is to outlive its processes.

    By default conversations are in a SQLite file and the tables of Ray's GCS in its memory alone.
    """

    FILES = "SQLite"
    POSTGRESQL = "conversations and API keys in PostgreSQL"
    REDIS = "the GCS's tables in Redis"


@dataclass(frozen=True)
class Scenario:
    """A fault under load. In none of them may a stream be altered, or end without a word.

    ``max_lost`` streams of any kind may end with an error or a cut connection: those whose own
    connection the fault cuts. Where a fault reaches one kind of request alone, the load of these
    says how they may be refused (:class:`Begin`). ``recovery_s`` bounds the time from the fault to
    the first answer to a new request.
    """

    name: str
    events: tuple[Event, ...]
    max_lost: int = 0
    recovery_s: float = 120.0
    stores: Stores = Stores.FILES


Loads: TypeAlias = Mapping[str, tuple[StreamRequest, ...]]
