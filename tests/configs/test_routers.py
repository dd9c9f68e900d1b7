"""The request router that a family's options name."""

from __future__ import annotations

from typing import Any

import pytest

from configs.options import DeploymentOptions
from configs.routers import ROUTER, ROUTER_CLASS, router_problems

OURS = {"request_router_class": ROUTER_CLASS}


def problems(section: dict[str, Any] | None) -> list[str]:
    given = {} if section is None else {"request_router_config": section}
    return list(router_problems("options", DeploymentOptions.model_validate(given)))


@pytest.mark.parametrize(
    "section",
    [
        None,
        ROUTER,
        OURS | {"request_router_kwargs": {"session_imbalance": 0, "load_imbalance": 64}},
        {
            "request_router_class": "ray.serve._private.request_router:"
            "PowerOfTwoChoicesRequestRouter",
            "request_router_kwargs": {"its_own": 1.5},
        },
    ],
)
def test_a_section_that_names_its_class_is_taken(section: dict[str, Any] | None) -> None:
    assert problems(section) == []


def test_a_section_without_a_class_is_refused_for_serve_would_take_its_own_router() -> None:
    (problem,) = problems({"initial_backoff_s": 1.0})
    assert problem.startswith("options.request_router_config: expected a request_router_class")
    assert ROUTER_CLASS in problem


@pytest.mark.parametrize("value", [-1, 1.5, "8", True, None])
def test_an_imbalance_is_a_whole_number(value: Any) -> None:
    (problem,) = problems(OURS | {"request_router_kwargs": {"load_imbalance": value}})
    assert problem == (
        "options.request_router_config.request_router_kwargs.load_imbalance: "
        "expected a whole number from 0 on"
    )


def test_an_unknown_setting_is_refused_with_those_there_are() -> None:
    (problem,) = problems(OURS | {"request_router_kwargs": {"imbalance": 8}})
    assert problem.endswith("imbalance: expected session_imbalance or load_imbalance")
