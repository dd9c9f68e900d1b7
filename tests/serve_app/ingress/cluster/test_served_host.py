"""Where Serve listens decides again, in the graph itself, whether it may be served without keys."""

from __future__ import annotations

from pathlib import Path

import pytest

from configs.errors import ConfigError
from configs.settings import Settings
from serve_app.graph import GraphArgs, build
from serve_app.ingress.cluster import served_host
from serve_app.ingress.cluster.served_host import checked_host


def listening_on(monkeypatch: pytest.MonkeyPatch, host: str | None) -> None:
    monkeypatch.setattr(served_host, "served_host", lambda: host)


def test_without_serve_nothing_is_known_and_nothing_started() -> None:
    assert checked_host(Settings()) is None


def test_the_graph_is_not_built_for_everybody_without_keys(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    listening_on(monkeypatch, "0.0.0.0")
    with pytest.raises(ConfigError, match=r"0\.0\.0\.0 without API keys"):
        build(GraphArgs())


def test_nor_with_keys_that_cannot_be_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PRSM_HF_API_KEYS_FILE", str(tmp_path / "none"))
    with pytest.raises(ConfigError, match="cannot be read"):
        build(GraphArgs())


@pytest.mark.parametrize(
    ("host", "settings"),
    [
        ("127.0.0.1", Settings()),
        ("0.0.0.0", Settings(allow_anonymous=True)),
        ("0.0.0.0", Settings(api_keys_file=Path("/etc/keys"))),
    ],
)
def test_the_address_is_told_where_it_may_be_served(
    monkeypatch: pytest.MonkeyPatch, host: str, settings: Settings
) -> None:
    listening_on(monkeypatch, host)
    assert checked_host(settings) == host
