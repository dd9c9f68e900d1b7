"""What a stream says while it waits, by what the replicas report of its model."""

from __future__ import annotations

import pytest

from deployments.seam.replicas import ModelStatus, ReplicaReport
from serve_app.ingress.cluster.cluster_models import ClusterReport
from serve_app.ingress.cluster.loading_comment import LOADING, loading_comment
from serve_app.ingress.streams import HEARTBEAT

COMING = ModelStatus("m", "loading", progress=0.4)


@pytest.mark.parametrize(
    ("statuses", "comment"),
    [
        ([], LOADING),
        ([ModelStatus("other", "warm")], LOADING),
        ([ModelStatus("m", "warm")], HEARTBEAT),
        ([ModelStatus("m", "fetching")], LOADING),
        ([ModelStatus("m", "waiting")], LOADING),
        ([COMING], b": loading 40 %\n\n"),
        ([ModelStatus("m", "fetching"), COMING], b": loading 40 %\n\n"),
        ([ModelStatus("m", "warm"), ModelStatus("m", "loading")], HEARTBEAT),
        ([ModelStatus("m", "leaving")], HEARTBEAT),
        ([ModelStatus("m", "leaving"), ModelStatus("m", "loading")], LOADING),
    ],
)
@pytest.mark.parametrize("unanswered", [(), ("generation",)])
def test_a_comment_says_whether_the_model_is_loaded(
    statuses: list[ModelStatus], comment: bytes, unanswered: tuple[str, ...]
) -> None:
    reports = tuple(ReplicaReport(str(at), "node", (each,)) for at, each in enumerate(statuses))
    assert loading_comment(ClusterReport(reports, unanswered), "m") == comment
