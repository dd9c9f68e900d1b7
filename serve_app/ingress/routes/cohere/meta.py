"""The ``meta`` object of Cohere's answers: the version of the API, and what was read."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel


class ApiVersion(BaseModel):
    version: str


class BilledUnits(BaseModel):
    """Nothing is billed here; clients read these as usage."""

    search_units: int | None = None
    input_tokens: int | None = None


class Meta(BaseModel):
    api_version: ApiVersion
    billed_units: BilledUnits


def meta(version: str, **units: int) -> dict[str, Any]:
    return {"api_version": {"version": version}, "billed_units": units}
