"""Rules about where conversations are kept: a file is for one node, a database for many."""

from __future__ import annotations

from typing import Any

import pytest

from tests.configs.profile_changes import broken, family

CONVERSATIONS = "serve_app.ingress.routes.conversations:router"
POSTGRES = "postgresql://house@db.example/conversations"


def test_one_node_may_keep_conversations_in_a_file(sound: dict[str, Any]) -> None:
    family(sound)["routers"] = [CONVERSATIONS]
    assert broken(sound) == []


@pytest.mark.parametrize("url", [None, "sqlite:////srv/conversations.sqlite3"])
def test_many_nodes_may_not_keep_conversations_in_a_file(
    sound: dict[str, Any], url: str | None
) -> None:
    """Also with one replica of the ingress, which may restart on another node."""
    sound["nodes"] = "many"
    sound["settings"]["conversations_url"] = url
    assert broken(sound) == []  # no route that keeps any
    family(sound)["routers"] = [CONVERSATIONS]
    (problem,) = broken(sound)
    assert problem.startswith("settings.conversations_url: expected a PostgreSQL database")


def test_many_nodes_share_a_postgresql_database(
    sound: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    sound["nodes"] = "many"
    family(sound)["routers"] = [CONVERSATIONS]
    monkeypatch.setenv("PRSM_HF_CONVERSATIONS_URL", POSTGRES)
    assert broken(sound) == []


def test_the_databases_password_is_in_no_file(sound: dict[str, Any]) -> None:
    sound["settings"]["conversations_url"] = POSTGRES
    assert broken(sound) == []
    sound["settings"]["conversations_url"] = POSTGRES.replace("house@", "house:secret@")
    (problem,) = broken(sound)
    assert problem.startswith("settings.conversations_url: expected its password in the env")
    assert "secret" not in problem
