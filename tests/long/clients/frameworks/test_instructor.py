"""instructor: answers as pydantic models, by schema and by tool, whole and in part."""

from __future__ import annotations

from typing import Any

import instructor
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel

MESSAGES = [
    {"role": "user", "content": "Ada Lovelace was born in 1815. Extract her name and year."}
]


class Person(BaseModel):
    name: str
    born: int


def client(service: Any, mode: instructor.Mode) -> Any:
    return instructor.from_openai(OpenAI(base_url=service.openai, api_key="unused"), mode=mode)


def asked(service: Any) -> dict[str, Any]:
    return {"model": service.torch, "messages": MESSAGES, "temperature": 0, "max_tokens": 64}


def test_a_person_is_extracted(service: Any) -> None:
    found = client(service, instructor.Mode.JSON_SCHEMA).chat.completions.create(
        response_model=Person, max_retries=0, **asked(service)
    )
    assert "Ada" in found.name
    assert found.born == 1815


def test_a_person_is_extracted_by_a_tool(service: Any) -> None:
    """The model is shown the tool, and is then too small to copy the year."""
    found = client(service, instructor.Mode.TOOLS).chat.completions.create(
        response_model=Person, max_retries=0, **asked(service)
    )
    assert isinstance(found, Person)
    assert "Ada" in found.name


def test_a_person_in_parts(service: Any) -> None:
    parts = list(
        client(service, instructor.Mode.JSON_SCHEMA).chat.completions.create_partial(
            response_model=Person, **asked(service)
        )
    )
    assert len(parts) > 2
    assert parts[-1].born == 1815


async def test_asynchronously(service: Any) -> None:
    opened = AsyncOpenAI(base_url=service.openai, api_key="unused")
    asynchronous = instructor.from_openai(opened, mode=instructor.Mode.JSON_SCHEMA)
    found = await asynchronous.chat.completions.create(
        response_model=Person, max_retries=0, **asked(service)
    )
    assert found.born == 1815
