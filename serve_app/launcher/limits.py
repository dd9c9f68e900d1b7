"""Reads the live limits that each replica of a graph applies, from the graph's `GET …/models`."""

from dataclasses import dataclass
from typing import Any

import httpx

MODELS = "/api/v1/huggingface/models"
LIMIT_S = 5.0


@dataclass(frozen=True)
class ReplicaLimits:
    """One replica's limits by name, and why it refused the last ones, if it did."""

    family: str
    replica: str
    in_force: dict[str, float]
    refused: tuple[str, ...]


class LimitsUnknownError(Exception):
    """The limits cannot be read; the message is one line that says why."""


def limits_in_force(url: str, api_key: str | None) -> list[ReplicaLimits]:
    """The limits of every running replica of the graph at `url`. Raises `LimitsUnknownError`."""
    headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
    try:
        response = httpx.get(f"{url}{MODELS}", headers=headers, timeout=LIMIT_S, trust_env=False)
    except httpx.HTTPError as error:
        raise LimitsUnknownError(f"the graph does not answer ({type(error).__name__})") from None
    if response.status_code in (401, 403):
        raise LimitsUnknownError("the graph wants a key: --api-key or PRSM_API_KEY")
    if response.status_code == 404:
        raise LimitsUnknownError("that is another graph")
    if response.is_error:
        raise LimitsUnknownError(f"the graph answered {response.status_code}")
    try:
        return _parsed(response.json())
    except (ValueError, KeyError, TypeError):
        raise LimitsUnknownError("the graph does not tell them: it is of another version") from None


def _parsed(answer: dict[str, Any]) -> list[ReplicaLimits]:
    """The limits of each replica, once: every model of a family lists all of its replicas."""
    found: dict[str, ReplicaLimits] = {}
    for model in answer["models"]:
        for each in model["live_limits"]:
            refused = tuple(each["refused"])
            limits = ReplicaLimits(model["family"], each["replica"], each["in_force"], refused)
            found.setdefault(limits.replica, limits)
    return list(found.values())
