"""Prompts take turns by request while they are tokenized."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from typing import Any

import pytest

from deployments.engine.prompt_preprocessor import PromptPreprocessor
from deployments.engine.prompts import PromptTokens
from deployments.models.thread_priority import NICENESS
from deployments.seam.generation import GenerationRequest

NO_IMAGES: Any = None


class BlockedEngine:
    """Tokenizes a prompt when it may, and notes in which order they began."""

    window = 64

    def __init__(self) -> None:
        self.codec: Any = self
        self.vocab_size = 10
        self.began: list[str] = []
        self.niceness: list[int] = []
        self.arrivals, self.may_go_on = threading.Semaphore(0), threading.Semaphore(0)

    def encode(self, prompt: str) -> list[int]:
        self.began.append(prompt)
        self.arrivals.release()
        if sys.platform == "linux":
            self.niceness.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
        assert self.may_go_on.acquire(timeout=30)
        return [1]


def request(request_id: str, prompt: str) -> GenerationRequest:
    return GenerationRequest(request_id=request_id, model="m", prompt=prompt)


async def test_a_prompt_does_not_wait_for_all_of_a_bulk_request() -> None:
    engine: Any = BlockedEngine()
    preprocessor = PromptPreprocessor(NO_IMAGES)
    asked = [request("bulk", f"bulk {number}") for number in range(6)] + [request("one", "one")]
    tasks = [asyncio.ensure_future(preprocessor.preprocess(engine, each)) for each in asked]
    for _ in range(2):
        assert await asyncio.to_thread(engine.arrivals.acquire, timeout=30)
    assert engine.began == ["bulk 0", "one"]
    for _ in asked:
        engine.may_go_on.release()
    answers = await asyncio.gather(*tasks)
    assert all(isinstance(each, PromptTokens) for each in answers)
    assert sorted(engine.began) == sorted(str(each.prompt) for each in asked)


@pytest.mark.skipif(sys.platform != "linux", reason="only there has a thread its own priority")
async def test_prompts_are_tokenized_behind_event_loops() -> None:
    engine: Any = BlockedEngine()
    engine.may_go_on.release()
    await PromptPreprocessor(NO_IMAGES).preprocess(engine, request("one", "one"))
    assert min(engine.niceness) >= NICENESS
