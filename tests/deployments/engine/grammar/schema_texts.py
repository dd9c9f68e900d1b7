"""The texts that a model can write under a schema, and why a schema is refused."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from llguidance import LLMatcher, LLTokenizer

from deployments.engine.grammar.compiler import llguidance_source
from deployments.engine.grammar.constraint import ConstraintError
from deployments.engine.grammar.trial import limits
from deployments.engine.grammar.trial_queue import GrammarTrials
from deployments.seam.generation import Grammar

BYTES = LLTokenizer("byte")


def matcher(schema: Any) -> LLMatcher:
    source = schema if isinstance(schema, str) else json.dumps(schema)
    made = LLMatcher(
        BYTES, llguidance_source(Grammar("json_schema", source)), limits=limits(), log_level=0
    )
    assert not made.is_error(), made.get_error()
    return made


def takes(schema: Any, text: str) -> bool:
    """Whether ``text`` is one that a model can write under ``schema``."""
    state = matcher(schema)
    return all(state.consume_token(byte) for byte in text.encode()) and state.is_accepting()


def only_text(schema: Any) -> str:
    """The text of a schema that leaves no choice."""
    state, text = matcher(schema), bytearray()
    while not state.is_stopped():
        bits = np.frombuffer(state.compute_bitmask(), np.uint8)
        (byte,) = np.nonzero(np.unpackbits(bits, bitorder="little")[:256])[0]
        state.consume_token(int(byte))
        text.append(int(byte))
    return text.decode()


async def refusal(schema: Any) -> str:
    source = schema if isinstance(schema, str) else json.dumps(schema)
    with pytest.raises(ConstraintError) as caught:
        await GrammarTrials().check(Grammar("json_schema", source))
    return str(caught.value)
