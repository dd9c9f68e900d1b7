"""Builds the Ray Serve application. No other module binds deployments together."""

# No postponed annotations here: Serve reads the type of the argument of ``build`` at run time.

from typing import Any

from pydantic import BaseModel, ConfigDict
from ray import serve
from ray.serve import Application

from configs.import_paths import imported
from configs.options import DeploymentOptions
from configs.profile import allow_list, load_settings
from configs.profile_file import load_profile
from configs.routers import ROUTER, ROUTER_OPTION
from configs.serve_schema import INGRESS, LEDGER
from deployments.metrics.ledger import Ledger
from deployments.models.config import FamilyConfig
from serve_app.ingress.app import Ingress, all_routers, routers_of
from serve_app.ingress.catalog import Catalog
from serve_app.ingress.cluster.served_host import checked_host
from serve_app.ingress.front.keys import read_keys
from serve_app.ingress.metering.metering import ledger_config
from serve_app.ingress.routes.inference_router import purposes_of
from serve_app.registry.checks import broken_code, deployment


class GraphArgs(BaseModel):
    """Arguments of :func:`build`, as ``serve_config.yaml`` gives them under ``args``."""

    model_config = ConfigDict(extra="forbid")

    profile: str = "embedded"


def build(args: GraphArgs) -> Application:
    """The application of a profile: a deployment for each family, the ledger, and the ingress.

    Settings are read here, once, so that all replicas on all nodes have the same. A deployment's
    options in ``serve_config.yaml`` replace those of the profile.
    """
    profile = load_profile(args.profile, broken_code)
    settings = load_settings(profile).located()
    checked_host(settings)
    if settings.api_keys_file is not None:
        read_keys(settings.api_keys_file)
    purposes = purposes_of(all_routers(routers_of(profile)))
    allowed = allow_list(profile, settings)
    live = settings.max_live_models if allowed else 0
    labels = ledger_config(Catalog(profile, settings), purposes.tasks, settings, live)
    ledger = deployment(Ledger, LEDGER, profile.ledger).bind(labels)
    families: dict[str, Any] = {}
    for family in profile.families:
        config = FamilyConfig(
            name=family.name,
            models=family.models,
            settings=settings,
            gpu_fraction=family.options.ray_actor_options.num_gpus,
            ledger=ledger,
            allowed=allowed,
        )
        cls = imported(family.deployment)
        made = deployment(cls, family.deployment_name, _with_router(family.options))
        families[family.name] = made.bind(config)
    ingress = serve.ingress()(Ingress)
    front = deployment(ingress, INGRESS, profile.ingress)
    return front.bind(profile, settings, families, ledger)


def _with_router(options: DeploymentOptions) -> DeploymentOptions:
    """The options of a family, with this service's request router unless they name another."""
    return options.model_copy(update={ROUTER_OPTION: ROUTER, **(options.model_extra or {})})
