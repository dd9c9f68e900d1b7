"""The comment of a stream that waits says how far its model is, where it is not there yet."""

from __future__ import annotations

import pytest

from deployments.seam.replicas import ModelStatus, ReplicaReport
from serve_app.ingress.cluster.cluster_models import ClusterReport
from serve_app.ingress.cluster.loading_comment import LOADING, loading_comment
from serve_app.ingress.streams import HEARTBEAT

WARM = ModelStatus("a", "warm")
LEAVING = ModelStatus("a", "leaving")
FETCHING = ModelStatus("a", "fetching")
OTHER = ModelStatus("b", "warm")


def loads(progress: float | None) -> ModelStatus:
    return ModelStatus("a", "loading", progress=progress)


@pytest.mark.parametrize(
    ("replicas", "comment"),
    [
        ([], LOADING),
        ([OTHER], LOADING),
        ([FETCHING], LOADING),
        ([loads(None)], LOADING),
        ([loads(0.4), loads(0.7), FETCHING], b": loading 70 %\n\n"),
        ([LEAVING, loads(0.4)], b": loading 40 %\n\n"),
        ([WARM], HEARTBEAT),
        ([LEAVING], HEARTBEAT),
        ([WARM, loads(0.4)], HEARTBEAT),
    ],
)
def test_a_model_that_is_warm_nowhere_is_loading(
    replicas: list[ModelStatus], comment: bytes
) -> None:
    reports = tuple(ReplicaReport(str(n), "node", (each,)) for n, each in enumerate(replicas))
    assert loading_comment(ClusterReport(reports, ()), "a") == comment


def test_a_replica_that_does_not_answer_may_have_the_model() -> None:
    assert loading_comment(ClusterReport((), ("text",)), "a") == HEARTBEAT
