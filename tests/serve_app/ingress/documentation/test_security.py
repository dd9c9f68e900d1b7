"""The OpenAPI document says where a key goes, and where none is needed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.serve_app import house
from tests.serve_app.ingress.front.fronting import NATIVE, keys_in

BOTH: list[dict[str, list[str]]] = [{"bearer": []}, {"apiKey": []}]


@pytest.fixture(params=[False, True], ids=["anonymous", "keys"])
def document(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[dict[str, Any], bool]:
    settings: dict[str, Any] = (
        {"api_keys_file": keys_in(tmp_path, "ada=sk")} if request.param else {}
    )
    application = house.app(**settings)
    assert application.openapi() == application.openapi()
    return application.openapi(), request.param


def test_a_key_goes_into_either_of_two_headers(document: tuple[dict[str, Any], bool]) -> None:
    found, needed = document
    schemes = found["components"]["securitySchemes"]
    assert schemes["bearer"] == {"type": "http", "scheme": "bearer"}
    assert schemes["apiKey"] == {"type": "apiKey", "in": "header", "name": "X-API-Key"}
    assert found["security"] == (BOTH if needed else [{}, *BOTH])
    assert "security" not in found["paths"][f"{NATIVE}/generate"]["post"]


def test_health_needs_none(document: tuple[dict[str, Any], bool]) -> None:
    assert document[0]["paths"]["/health/readiness"]["get"]["security"] == []
