"""Which classes are families: those that are made of their configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fastapi import APIRouter

from deployments.models.call_receiver import CallReceiver
from deployments.models.config import FamilyConfig
from deployments.models.family import FamilyDeployment
from serve_app.registry.families import shipped_families, why_no_family
from tests.serve_app.registry.made_up_families import (
    Deployed,
    OfAnother,
    OfNothing,
    OfTwo,
    Plain,
    Untyped,
    WithoutCalls,
)


@pytest.mark.parametrize("cls", [Plain, Untyped, *shipped_families().values()])
def test_a_family_is_a_class_that_is_made_of_its_configuration(cls: type) -> None:
    assert why_no_family(cls) is None


@pytest.mark.parametrize("cls", shipped_families().values())
def test_no_family_replaces_what_receives_its_calls(cls: type) -> None:
    receiving = {name for name in vars(CallReceiver) if not name.startswith("__")}
    for base in cls.__mro__[: cls.__mro__.index(CallReceiver)]:
        assert not receiving & vars(base).keys()


@pytest.mark.parametrize(
    "found",
    [
        OfTwo,
        OfNothing,
        OfAnother,
        WithoutCalls,
        FamilyConfig,
        FamilyDeployment,
        Deployed,
        APIRouter,
        Path,
        print,
        "a",
    ],
)
def test_nothing_else_is(found: Any) -> None:
    assert why_no_family(found)
