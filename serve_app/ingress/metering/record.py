"""The record of one inference request: which models did what for it, how long, and how it ended."""

from __future__ import annotations

import time
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field

from deployments.metrics import signals
from deployments.metrics.report import FinishedRequest, MetricSample
from deployments.seam.generation import FinishReason, TokenChunk
from deployments.seam.tokens import TokenCounts
from serve_app.ingress.metering.timeline import Timeline

_task_here: ContextVar[str | None] = ContextVar("task", default=None)
"""The task that a model was found for last. Each step of a graph has a context of its own, so that
this is a call's task even where several steps use one model for several tasks."""


@dataclass(slots=True)
class ModelUse:
    """The calls of one request to one model for one task. Times are of the record's clock."""

    began: float
    ended: float | None = None
    tokens_in: int = 0
    tokens_out: int = 0
    finished: Counter[FinishReason] = field(default_factory=Counter)
    """How many of its generated texts ended for which reason."""


class StreamedModelUse:
    """A stream's calls: given every chunk, and complete at the last token."""

    def __init__(
        self, use: ModelUse, clock: Callable[[], float], model: str, task: str, choices: int
    ) -> None:
        self.model = model
        self.task = task
        self.first = self.last = clock()
        self.gaps = array("d")
        """Seconds a token between two chunks, one for each chunk behind the first."""
        self._use = use
        self._clock = clock
        self._choices = choices
        self._open = choices
        self._tokens = 0
        self._in_first = 0

    def add(self, chunk: TokenChunk) -> None:
        before, self.last = self.last, self._clock()
        if self._tokens == 0:
            self._use.tokens_in += chunk.prompt_tokens
            self._in_first = len(chunk.tokens)
        else:
            self.gaps.append((self.last - before) * self._choices / len(chunk.tokens))
        self._tokens += len(chunk.tokens)
        self._use.tokens_out += len(chunk.tokens)
        ended = [token.finish_reason for token in chunk.tokens if token.finish_reason is not None]
        self._use.finished.update(ended)
        self._open -= len(ended)
        if self._open <= 0:
            self._use.ended = self.last

    def cancel(self) -> None:
        """The client has left: what has not ended is cancelled."""
        if self._open > 0:
            self._use.finished["cancelled"] += self._open

    @property
    def per_token_s(self) -> float | None:
        """Seconds for each token of one choice, without those of the first chunk."""
        later = (self._tokens - self._in_first) / self._choices
        return (self.last - self.first) / later if later > 0 else None


class RequestRecord:
    """Collects what happens to one request.

    ``task`` is that of the route, until a model is found; with ``fixed`` it stays.
    """

    def __init__(
        self, task: str, *, fixed: bool = False, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self.input_bytes = 0
        self.output_bytes = 0
        self.discarded = False
        """Set for a request that asks no model for anything: it is not counted."""
        self.timeline: Timeline | None = None
        """Of a request that asked for it."""
        self.clock = clock
        self._began = clock()
        self._task = task
        self._fixed = fixed
        self._tasks: dict[str, list[str]] = {}
        self._uses: dict[tuple[str, str], ModelUse] = {}
        self._streams: list[StreamedModelUse] = []

    def keep_timeline(self) -> None:
        """Have replicas tell how long the stages of this request's calls take."""
        self.timeline = Timeline(self._began, self.clock)

    def lookup_started(self, task: str) -> None:
        """A lookup for ``task`` begins; it may find no model."""
        if not (self._fixed or self._tasks):
            self._task = task

    def found(self, task: str, model: str) -> None:
        """The lookup found ``model``, which will do ``task``."""
        self.lookup_started(task)
        _task_here.set(task)
        tasks = self._tasks.pop(model, [])
        self._tasks[model] = [*(each for each in tasks if each != task), task]

    def use(self, model: str) -> ModelUse:
        """``model`` is called now. Several calls for one task are one use."""
        return self._uses.setdefault((model, self._task_of(model)), ModelUse(self.clock()))

    def result_received(
        self, use: ModelUse, tokens: TokenCounts, finished: Iterable[FinishReason] = ()
    ) -> None:
        """A call was answered. ``finished`` is why each of its generated texts ended."""
        use.ended = self.clock()
        use.tokens_in += tokens.prompt
        use.tokens_out += tokens.completion
        use.finished.update(finished)

    def streamed(self, use: ModelUse, model: str, choices: int) -> StreamedModelUse:
        """The first chunk of a stream has arrived."""
        stream = StreamedModelUse(use, self.clock, model, self._task_of(model), choices)
        self._streams.append(stream)
        return stream

    def close(
        self, *, success: bool, reason: str | None = None, cancelled: bool = False
    ) -> tuple[list[MetricSample], FinishedRequest]:
        """The ledger's samples. ``reason`` is the answer's ``error_type`` if it was an error."""
        if cancelled:
            for stream in self._streams:
                stream.cancel()
        answered = [use for use in self._uses.values() if use.ended is not None]
        seconds = None
        if answered:
            ends = [use.ended for use in answered if use.ended is not None]
            seconds = max(ends) - min(use.began for use in answered)
        finished = FinishedRequest(self.model, self._task, success, seconds)
        return [*self._samples(success, reason, cancelled)], finished

    @property
    def model(self) -> str:
        """The model that was called, or the last one found if none was called."""
        called = {model for model, _ in self._uses}
        if len(called) > 1:
            return signals.SEVERAL
        return next(iter(called or list(self._tasks)[-1:]), signals.UNKNOWN)

    @property
    def token_counts(self) -> TokenCounts:
        """The tokens that all its models read and wrote."""
        uses = self._uses.values()
        return TokenCounts(sum(use.tokens_in for use in uses), sum(use.tokens_out for use in uses))

    @property
    def age_s(self) -> float:
        """Seconds since the request arrived."""
        return self.clock() - self._began

    @property
    def first_token_s(self) -> float | None:
        """Seconds from its arrival to the first token of its first stream."""
        return min((stream.first - self._began for stream in self._streams), default=None)

    def _task_of(self, model: str) -> str:
        tasks, here = self._tasks.get(model) or [self._task], _task_here.get()
        return here if here in tasks else tasks[-1]

    def _samples(
        self, success: bool, reason: str | None, cancelled: bool
    ) -> Iterator[MetricSample]:
        model, task = self.model, self._task
        yield signals.REQUESTS.of(model, task, "success" if success else "error")
        if self.input_bytes or self.output_bytes:  # else the front refused it, and counts none
            yield signals.INPUT_BYTES.of(task, amount=self.input_bytes)
            yield signals.OUTPUT_BYTES.of(task, amount=self.output_bytes)
        if reason is not None:
            yield signals.REJECTIONS.of(task, reason)
        if cancelled:
            yield signals.CANCELLED.of(model, task)
        for (name, its_task), use in self._uses.items():
            yield from _samples_of(name, its_task, use)
        # Of a request with many prompts, most only begin when others have ended.
        first = {(each.model, each.task): each.first for each in reversed(self._streams)}
        for labels, at in first.items():
            yield signals.FIRST_TOKEN.of(*labels, amount=at - self._began)
        for stream in self._streams:
            labels = (stream.model, stream.task)
            if stream.per_token_s is not None:
                yield signals.PER_TOKEN.of(*labels, amount=stream.per_token_s)
            if stream.gaps:
                yield MetricSample(signals.BETWEEN_TOKENS.name, labels, tuple(stream.gaps))


def _samples_of(model: str, task: str, use: ModelUse) -> Iterator[MetricSample]:
    if use.ended is not None:
        yield signals.DURATION.of(model, task, amount=use.ended - use.began)
    for reason, count in use.finished.items():
        yield signals.FINISHED.of(model, task, reason, amount=count)
    if use.tokens_in:
        yield signals.TOKENS_IN.of(model, task, amount=use.tokens_in)
        yield signals.INPUT_TOKENS.of(model, task, amount=use.tokens_in)
    if use.tokens_out:
        yield signals.TOKENS_OUT.of(model, task, amount=use.tokens_out)
        yield signals.OUTPUT_TOKENS.of(model, task, amount=use.tokens_out)
