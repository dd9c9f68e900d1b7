"""Inspections of models outside the profile, by replicas of families: the ingress may not see the
models' files."""

from __future__ import annotations

from configs.allow import AllowedSource, FolderRule
from configs.detection import DetectedModel, Inspection
from configs.live_models import families_awake_first
from configs.profile import Profile
from configs.weights import HubSource
from serve_app.ingress.cluster.deployment_client import DeploymentClient
from serve_app.ingress.errors import NotFound

INSPECTION_TIMEOUT_S = 60.0


class LiveInspection:
    """Asks the families of a profile what a model is."""

    def __init__(self, profile: Profile, client: DeploymentClient) -> None:
        self._profile = profile
        self._client = client

    async def of(self, allowed: AllowedSource) -> DetectedModel:
        """What the model is, by the first family whose replica sees its files.

        Raises :class:`NotFound` if none does.
        """
        rule, source = allowed.rule, allowed.source
        root = rule.base if isinstance(rule, FolderRule) else None
        request = Inspection(source, root, rule.max_gb, rule.trust_remote_code)
        families = families_awake_first(self._profile)
        everywhere = isinstance(source, HubSource) or self._profile.nodes == "one"
        missing = NotFound("There is no such model.")
        for family in families[:1] if everywhere else families:
            try:
                found: DetectedModel = await self._client.call(
                    family, "inspect_model", request, timeout_s=INSPECTION_TIMEOUT_S
                )
            except NotFound as error:
                missing = error
            else:
                return found
        raise missing
