"""The description of a load: which requests, of how many clients, and for how long."""

from dataclasses import dataclass, replace

MAX_CLIENTS = 1024
MAX_REQUESTS = 1_000_000
MAX_SECONDS = 3600.0
MAX_NEW_TOKENS = 100_000
MAX_TEXTS = 2048


@dataclass(frozen=True)
class Load:
    """One load: ``clients`` connections; each sends its next request once it has its answer.

    ``what`` is a key of :data:`serve_app.load.request_kinds.KINDS`. The load ends after
    ``requests`` requests, or begins none after ``seconds``, whichever comes first; requests under
    way are waited for. ``texts`` is ``short``, ``mixed`` or a file with a text a line;
    ``per_request`` of them go into a request of the kinds that take lists. ``pause_s`` is how long
    a client waits between an answer and its next request.
    """

    what: str
    clients: int = 8
    requests: int = MAX_REQUESTS
    seconds: float = MAX_SECONDS
    model: str | None = None
    texts: str = "mixed"
    per_request: int = 1
    new_tokens: int = 48
    temperature: float = 0.0
    stream: bool = True
    seed: int = 0
    timeout_s: float = 120.0
    pause_s: float = 0.0

    def with_clients(self, clients: int) -> "Load":
        """The same load of another number of clients."""
        return replace(self, clients=clients)

    def warm_up(self, requests: int) -> "Load":
        """A load to run first and not to measure: of the same shape, with other texts."""
        other = -1 - self.seed  # measured rounds count seeds upwards
        return replace(self, requests=requests, seconds=MAX_SECONDS, seed=other, pause_s=0)
