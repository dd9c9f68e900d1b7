"""The application of a profile: what its deployments are bound with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from configs.routers import ROUTER_CLASS
from serve_app.graph import GraphArgs, build

SERVES_OWN = "ray.serve._private.request_router:PowerOfTwoChoicesRequestRouter"


def routers(profile: str) -> dict[str, str]:
    """The class of the request router of each deployment."""
    ingress: Any = build(GraphArgs(profile=profile))
    _, _, families, ledger = ingress._bound_deployment.init_args
    made = [each._bound_deployment for each in (ingress, ledger, *families.values())]
    return {
        each.name: each._deployment_config.request_router_config.request_router_class
        for each in made
    }


def test_every_family_has_the_router_that_knows_models_and_sessions() -> None:
    found = routers("embedded")
    own = {found.pop("Ingress"), found.pop("Ledger")}
    assert own == {SERVES_OWN}
    assert len(found) >= 7
    assert set(found.values()) == {ROUTER_CLASS}


def test_a_profile_may_name_another_router(tmp_path: Path) -> None:
    profile: dict[str, Any] = yaml.safe_load(Path("configs/embedded.yaml").read_text())
    profile["families"][0]["options"]["request_router_config"] = {
        "request_router_class": SERVES_OWN
    }
    path = tmp_path / "profile.yaml"
    path.write_text(yaml.safe_dump(profile))
    found = list(routers(str(path)).values())
    assert found.count(SERVES_OWN) == 3
