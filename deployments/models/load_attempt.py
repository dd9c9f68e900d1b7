"""Runs one step of loading a model in a thread, and says why it failed in words for a client."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Executor
from traceback import format_exception
from typing import TypeVar

from configs.profile import ModelSpec
from deployments.models.errors import ModelUnavailable, OutOfMemory
from deployments.models.load_errors import NOT_ENOUGH_MEMORY, reason_of
from deployments.models.memory import give_back

logger = logging.getLogger(__name__)

T = TypeVar("T")


async def attempt(threads: Executor, spec: ModelSpec, step: Callable[[ModelSpec], T]) -> T:
    """The result of ``step(spec)`` in one of the ``threads``.

    Raises :class:`ModelUnavailable` when it fails, :class:`OutOfMemory` for lack of memory. The
    exception itself is logged and dropped, because its traceback would keep the half-loaded model
    in memory.
    """
    loop, reason = asyncio.get_running_loop(), None
    try:
        return await loop.run_in_executor(threads, step, spec)
    except Exception as error:  # noqa: BLE001  libraries raise anything here
        # As text: a log that keeps records for a while would keep the traceback's tensors.
        trace = "".join(format_exception(error))
        logger.error("loading %s failed\n%s", spec.name, trace)  # noqa: TRY400
        reason = reason_of(error)
    await loop.run_in_executor(threads, give_back)
    failure = OutOfMemory if reason == NOT_ENOUGH_MEMORY else ModelUnavailable
    raise failure(spec.name, reason)
