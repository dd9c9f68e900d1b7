"""The request router of model families, as a section of Serve's options."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from configs.options import DeploymentOptions

ROUTER_OPTION = "request_router_config"
ROUTER_CLASS = "serve_app.ingress.cluster.affinity_router:AffinityRouter"

ROUTER: dict[str, Any] = {
    "request_router_class": ROUTER_CLASS,
    "request_routing_stats_period_s": 2.0,
}
"""What every family has unless its options say otherwise. Replicas report their loaded models so
often; Serve's default is ten seconds."""

IMBALANCES = {"session_imbalance": 8, "load_imbalance": 32}
"""The router's ``request_router_kwargs``, as numbers of requests.

A session leaves its replica while that has so many more requests than the least loaded one. Another
replica loads a model while those that hold it have so many more requests than it.
"""


def router_problems(key: str, options: DeploymentOptions) -> Iterator[str]:
    """What is wrong with a family's own section."""
    given = (options.model_extra or {}).get(ROUTER_OPTION)
    if not isinstance(given, dict):
        return
    where = f"{key}.{ROUTER_OPTION}"
    named = given.get("request_router_class")
    if named is None:
        yield f"{where}: expected a request_router_class in it; {ROUTER_CLASS} is the default"
    if named == ROUTER_CLASS:
        for name, value in given.get("request_router_kwargs", {}).items():
            if name not in IMBALANCES:
                known = " or ".join(IMBALANCES)
                yield f"{where}.request_router_kwargs.{name}: expected {known}"
            elif not isinstance(value, int) or isinstance(value, bool) or value < 0:
                yield f"{where}.request_router_kwargs.{name}: expected a whole number from 0 on"
