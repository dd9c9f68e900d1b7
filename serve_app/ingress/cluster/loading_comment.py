"""The comment line of a stream that waits for its model to be loaded."""

from __future__ import annotations

from deployments.seam.replicas import COMING
from serve_app.ingress.cluster.cluster_models import FRESH_S, ClusterModels, ClusterReport
from serve_app.ingress.model_card import ModelCard
from serve_app.ingress.streams import HEARTBEAT

LOADING = b": loading\n\n"


class LoadingComment:
    """Says how far a model is loaded, by the reports of its replicas."""

    def __init__(self, cluster: ClusterModels, card: ModelCard) -> None:
        self._cluster = cluster
        self._card = card

    async def __call__(self) -> bytes:
        """``: loading 40 %``, without the number where it is unknown; a heartbeat if a replica has
        loaded the model, so that the stream probably waits for something else."""
        report = await self._cluster.report([self._card.family], FRESH_S)
        return loading_comment(report, self._card.name)


def loading_comment(report: ClusterReport, model: str) -> bytes:
    statuses = [status for _, status in report.of(model)]
    coming = [status for status in statuses if status.stage in COMING]
    if report.loaded(model) or (statuses and not coming):
        return HEARTBEAT  # a replica that does not answer is often one that imports libraries
    known = [status.progress for status in coming if status.progress is not None]
    return b": loading %d %%\n\n" % (100 * max(known)) if known else LOADING
