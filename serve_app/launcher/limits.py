"""Reads from a graph itself what limits it: live limits of replicas, binding limits of families."""

from dataclasses import dataclass
from typing import Any

import httpx

MODELS = "/api/v1/huggingface/models"
PERFORMANCE = "/api/v1/huggingface/performance"
LIMIT_S = 5.0


@dataclass(frozen=True)
class ReplicaLimits:
    """One replica's limits by name, and why it refused the last ones, if it did."""

    family: str
    replica: str
    in_force: dict[str, float]
    refused: tuple[str, ...]


@dataclass(frozen=True)
class FamilyLimit:
    """Why a family is not faster, what to turn, and how many replicas it needs and why.

    ``limit`` is None where nothing binds.
    """

    family: str
    limit: str | None
    why: str
    setting: str
    scaling: str


class LimitsUnknownError(Exception):
    """The limits cannot be read; the message is one line that says why."""


def limits_in_force(url: str, api_key: str | None) -> list[ReplicaLimits]:
    """The limits of every running replica of the graph at `url`. Raises `LimitsUnknownError`."""
    try:
        return _parsed(_answer(url + MODELS, api_key))
    except (ValueError, KeyError, TypeError):
        raise LimitsUnknownError("the graph does not tell them: it is of another version") from None


def binding_limits(url: str, api_key: str | None) -> list[FamilyLimit]:
    """What binds each family; none before the first request. Raises `LimitsUnknownError`."""
    try:
        return _parsed_families(_answer(url + PERFORMANCE, api_key).get("binding_limits", {}))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise LimitsUnknownError("the graph does not tell them: it is of another version") from None


def _answer(url: str, api_key: str | None) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
    try:
        response = httpx.get(url, headers=headers, timeout=LIMIT_S, trust_env=False)
    except httpx.HTTPError as error:
        raise LimitsUnknownError(f"the graph does not answer ({type(error).__name__})") from None
    if response.status_code in (401, 403):
        raise LimitsUnknownError("the graph wants a key: --api-key or PRSM_API_KEY")
    if response.status_code == 404:
        raise LimitsUnknownError("that is another graph")
    if response.is_error:
        raise LimitsUnknownError(f"the graph answered {response.status_code}")
    answer: dict[str, Any] = response.json()
    return answer


def _parsed_families(families: dict[str, Any]) -> list[FamilyLimit]:
    """A row for each limit of each family, and one for a family that nothing binds."""
    rows = []
    for family, found in families.items():
        scaling = found["scaling"]
        needs = "" if scaling is None else f"{scaling['needed']} replicas: {scaling['why']}"
        rows += [
            FamilyLimit(family, each["limit"], each["why"], each["setting"], needs)
            for each in found["limits"]
        ]
        if not found["limits"]:
            rows.append(FamilyLimit(family, None, "it has time left", "", needs))
    return rows


def _parsed(answer: dict[str, Any]) -> list[ReplicaLimits]:
    """The limits of each replica, once: every model of a family lists all of its replicas."""
    found: dict[str, ReplicaLimits] = {}
    for model in answer["models"]:
        for each in model["live_limits"]:
            refused = tuple(each["refused"])
            limits = ReplicaLimits(model["family"], each["replica"], each["in_force"], refused)
            found.setdefault(limits.replica, limits)
    return list(found.values())
