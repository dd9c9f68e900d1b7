"""3.0 is a whole number, as JSON Schema has it; 3.5, true and "3" are none."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
from pydantic import Field, TypeAdapter, ValidationError

from serve_app.ingress.validation.fields import Body


class Counted(Body):
    count: Annotated[int, Field(ge=1, le=9)]
    several: list[int] | None = None
    share: float = 0.5
    window: Literal[-1] | None = None


def test_a_whole_number_may_be_written_as_a_float() -> None:
    body = Counted.model_validate({"count": 3.0, "several": [1, 2.0], "share": 1, "window": -1.0})
    assert (body.count, body.several, body.share) == (3, [1, 2], 1.0)
    assert all(type(each) is int for each in (body.count, body.window, *(body.several or ())))


@pytest.mark.parametrize("given", [3.5, True, "3", 10.0, 1e300, -0.0])
def test_others_are_refused_as_before(given: Any) -> None:
    with pytest.raises(ValidationError) as error:
        Counted.model_validate({"count": given})
    assert error.value.error_count() == 1


def test_the_schema_shows_it_as_before() -> None:
    shown = Counted.model_json_schema()["properties"]["count"]
    assert (shown["type"], shown["minimum"], shown["maximum"]) == ("integer", 1, 9)


def test_what_is_built_of_a_body_again_and_again_stays_as_shallow() -> None:
    """pydantic keeps a body's schema, and FastAPI hands it to each application that is made."""

    def depth(part: Any) -> int:
        parts = part.values() if isinstance(part, dict) else part
        within = [depth(each) for each in parts] if isinstance(part, dict | list | tuple) else []
        return 1 + max(within, default=0)

    first = depth(Counted.__pydantic_core_schema__)
    for _ in range(3):
        adapter = TypeAdapter(list[Counted])
        assert adapter.validate_python([{"count": 3.0}])[0].count == 3
    assert depth(Counted.__pydantic_core_schema__) == first
