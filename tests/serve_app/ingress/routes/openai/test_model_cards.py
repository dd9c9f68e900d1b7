"""OpenAI's list of models."""

from __future__ import annotations

import pytest

from tests.serve_app import house
from tests.serve_app.house import FAST


async def test_the_list_has_openais_shape() -> None:
    body = (await house.get(house.app(), "/v1/models")).json()
    assert body["object"] == "list"
    first = body["data"][0]
    assert (first["id"], first["object"], first["owned_by"]) == (FAST, "model", "house")
    assert isinstance(first["created"], int)


@pytest.mark.parametrize("name", [FAST, "fast"])
async def test_a_model_whose_name_has_a_slash_is_found(name: str) -> None:
    response = await house.get(house.app(), f"/v1/models/{name}")
    assert response.json()["id"] == FAST


async def test_a_model_that_is_not_there_is_openais_404() -> None:
    response = await house.get(house.app(), "/v1/models/no/such")
    assert response.status_code == 404
    error = response.json()["error"]
    assert (error["code"], error["param"]) == ("model_not_found", "model")
    assert FAST in error["message"]
