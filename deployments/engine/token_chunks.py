"""The tokens of one request as an engine decodes them, or where the engine stopped."""

from __future__ import annotations

import threading
import time
from collections.abc import AsyncGenerator, Callable, Iterable
from collections.abc import Sequence as Listed
from dataclasses import dataclass

from deployments.engine.generation_stages import GenerationStages
from deployments.engine.interface import STOPPED, Engine, EngineStopped
from deployments.engine.prompts import PromptTokens
from deployments.engine.sequence import Sequence
from deployments.engine.token_stream import StreamPacing, TokenBuffer
from deployments.metrics.meter import Meter
from deployments.metrics.stage_recorder import StageRecorder
from deployments.models.call_receiver import owner_here
from deployments.seam.generation import GenerationRequest, TokenChunk
from deployments.seam.problems import Problem


@dataclass(frozen=True, slots=True)
class Interrupted:
    """The engine stopped. ``delivered`` is as in :class:`GenerationRequest`.

    ``admitted`` says whether the request had a slot. One that had none did not stop the engine.
    """

    delivered: tuple[tuple[int, ...] | None, ...]
    admitted: bool


async def token_chunks(
    engine: Engine,
    request: GenerationRequest,
    prompt: PromptTokens,
    pacing: StreamPacing,
    meter: Meter,
    recorder: StageRecorder | None = None,
) -> AsyncGenerator[TokenChunk | Problem | Interrupted, None]:
    """Tokens of all choices as they are decoded, until each choice has finished.

    Closing the generator cancels the choices that have not finished. ``recorder`` is told the
    stages, if the request asked for its timeline.
    """
    submitted, was_admitted = time.monotonic(), threading.Event()
    stages = None if recorder is None else GenerationStages(engine, recorder)

    def admitted() -> None:
        was_admitted.set()
        if stages is not None:
            stages.admitted()
        meter.admitted(request.model, time.monotonic() - submitted)

    buffer = pacing.new_buffer()
    delivered = request.delivered or ((),) * request.choices
    sequences = [
        _sequence(engine, request, prompt, choice, already, buffer, admitted)
        for choice, already in enumerate(delivered)
        if already is not None
    ]
    try:
        try:
            for sequence in sequences:
                engine.submit(sequence)
        except EngineStopped:  # some may have begun, but no token of theirs was handed on
            yield Interrupted(delivered, was_admitted.is_set())
            return
        open_choices = len(sequences)
        while open_choices:
            tokens, problem = await buffer.take()
            if tokens:
                if stages is not None:
                    stages.first_tokens()
                open_choices -= sum(token.finish_reason is not None for token in tokens)
                if stages is not None and not open_choices:
                    stages.finished()
                yield TokenChunk(len(prompt.ids), tokens, engine.device)
            if problem is not None:
                if problem == STOPPED:
                    yield Interrupted(_progress(delivered, sequences), was_admitted.is_set())
                else:
                    yield problem
                return
    finally:
        for sequence in sequences:
            engine.cancel(sequence)


def _sequence(
    engine: Engine,
    request: GenerationRequest,
    prompt: PromptTokens,
    choice: int,
    resume_ids: tuple[int, ...],
    buffer: TokenBuffer,
    on_admitted: Callable[[], None],
) -> Sequence:
    """One choice of the request, whose tokens go to ``buffer``."""
    return Sequence(
        prompt_ids=prompt.ids,
        sampling=request.sampling,
        max_new_tokens=prompt.max_new_tokens,
        min_new_tokens=request.min_new_tokens,
        codec=engine.codec,
        stop=request.stop,
        stop_after_tool_call=request.stop_after_tool_call,
        eos_ids=frozenset() if request.ignore_eos else None,
        choice=choice,
        request_id=request.request_id,
        owner=owner_here(),
        resume_ids=resume_ids,
        constraint=prompt.constraint.fresh() if prompt.constraint else None,
        inputs=prompt.inputs,
        on_token=buffer.put,
        on_failure=buffer.put,
        on_admitted=on_admitted,
    )


def _progress(
    delivered: Listed[tuple[int, ...] | None], sequences: Iterable[Sequence]
) -> tuple[tuple[int, ...] | None, ...]:
    """What was delivered, and the tokens that were decoded behind it."""
    running = {each.choice: each for each in sequences if each.finish_reason is None}
    going = (running.get(choice) for choice in range(len(delivered)))
    return tuple(None if each is None else tuple(each.generated) for each in going)
