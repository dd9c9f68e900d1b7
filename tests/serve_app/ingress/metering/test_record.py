"""One record: which model, which task, how long and how many tokens."""

from __future__ import annotations

from contextvars import copy_context

from deployments.metrics.report import FinishedRequest, MetricSample
from deployments.seam.tokens import TokenCounts
from serve_app.ingress.metering.record import RequestRecord
from tests.serve_app.house import burst


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def closed(record: RequestRecord) -> tuple[dict[tuple[str, ...], float], FinishedRequest]:
    samples, finished = record.close(success=True)
    return {key(sample): sum(sample.amounts) for sample in samples}, finished


def key(sample: MetricSample) -> tuple[str, ...]:
    return (sample.signal, *sample.labels)


def test_a_graph_is_one_request_of_several_models_and_its_steps_are_told_apart() -> None:
    clock = Clock()
    record = RequestRecord("graph", fixed=True, clock=clock)
    models = {"caption": "see", "chat": "write", "summarize": "write"}
    contexts = {task: copy_context() for task in models}  # as asyncio gives each step one
    for task, model in models.items():
        contexts[task].run(record.found, task, model)
    caption = contexts["caption"].run(record.use, "see")
    clock.now = 2.0
    record.result_received(caption, TokenCounts(0, 4))
    summary, chat = (contexts[task].run(record.use, "write") for task in ("summarize", "chat"))
    clock.now = 5.0
    record.result_received(summary, TokenCounts(10, 3))
    clock.now = 6.0
    record.result_received(chat, TokenCounts(5, 2))
    samples, finished = closed(record)
    assert finished == FinishedRequest("several", "graph", True, 6.0)
    assert samples["requests", "several", "graph", "success"] == 1
    assert samples["inference_duration_seconds", "see", "caption"] == 2.0
    assert samples["inference_duration_seconds", "write", "summarize"] == 3.0
    assert samples["inference_duration_seconds", "write", "chat"] == 4.0
    assert samples["tokens_out", "write", "summarize"] == 3


def test_a_model_that_was_looked_up_and_not_called_is_not_the_requests() -> None:
    record = RequestRecord("chat")
    record.found("chat", "default")
    record.found("chat", "earlier")
    assert record.model == "earlier"
    record.use("default")
    assert record.model == "default"


def test_several_calls_for_one_task_are_one_use_from_the_first_to_the_last_answer() -> None:
    clock = Clock()
    record = RequestRecord("generate", clock=clock)
    record.found("generate", "one")
    first, second = record.use("one"), record.use("one")
    clock.now = 1.0
    record.result_received(second, TokenCounts(2, 3))
    clock.now = 4.0
    record.result_received(first, TokenCounts(2, 5))
    samples, finished = closed(record)
    assert finished == FinishedRequest("one", "generate", True, 4.0)
    assert samples["inference_duration_seconds", "one", "generate"] == 4.0
    assert samples["tokens_in", "one", "generate"] == 4
    assert samples["tokens_out", "one", "generate"] == 8


def test_a_stream_has_a_time_to_its_first_token_and_one_a_token_behind_it() -> None:
    clock = Clock()
    record = RequestRecord("generate", clock=clock)
    record.found("generate", "one")
    clock.now = 1.0
    use = record.use("one")
    clock.now = 3.0
    stream = record.streamed(use, "one", choices=1)
    stream.add(burst("a"))
    clock.now = 7.0
    stream.add(burst("b", "c", "d", "e", at=1, finish="stop"))
    samples, finished = closed(record)
    assert samples["time_to_first_token_seconds", "one", "generate"] == 3.0
    assert samples["time_per_output_token_seconds", "one", "generate"] == 1.0
    assert samples["inter_token_latency_seconds", "one", "generate"] == 1.0
    assert samples["finished_sequences", "one", "generate", "stop"] == 1
    assert samples["inference_duration_seconds", "one", "generate"] == 6.0
    assert samples["tokens_out", "one", "generate"] == 5
    assert finished.seconds == 6.0


def test_a_stream_of_one_token_has_no_time_a_token() -> None:
    record = RequestRecord("generate")
    record.found("generate", "one")
    stream = record.streamed(record.use("one"), "one", choices=1)
    stream.add(burst("a", finish="stop"))
    samples, _ = closed(record)
    assert ("time_to_first_token_seconds", "one", "generate") in samples
    assert ("time_per_output_token_seconds", "one", "generate") not in samples


def test_a_request_that_no_model_answered_has_no_time() -> None:
    record = RequestRecord("generate")
    record.found("generate", "one")
    record.use("one")
    samples, finished = closed(record)
    assert finished.seconds is None
    assert not [name for name in samples if name[0] == "inference_duration_seconds"]


def test_the_first_token_of_a_request_with_many_prompts_is_counted_once() -> None:
    clock = Clock()
    record = RequestRecord("generate", clock=clock)
    use = record.use("one")
    for _ in range(3):
        clock.now += 2.0
        record.streamed(use, "one", choices=1).add(burst("a", finish="stop"))
    samples, _ = record.close(success=True)
    (first,) = (each for each in samples if each.signal == "time_to_first_token_seconds")
    assert first.amounts == (2.0,)


def test_each_chunk_behind_the_first_has_a_time_a_token() -> None:
    clock = Clock()
    record = RequestRecord("chat", clock=clock)
    record.found("chat", "one")
    stream = record.streamed(record.use("one"), "one", choices=1)
    for at, texts in ((1.0, "a"), (1.5, "bc"), (2.5, "d")):
        clock.now = at
        stream.add(burst(*texts))
    samples, _ = record.close(success=False, cancelled=True)
    (gaps,) = (each for each in samples if each.signal == "inter_token_latency_seconds")
    assert gaps == MetricSample("inter_token_latency_seconds", ("one", "chat"), (0.25, 1.0))


def test_choices_that_the_client_did_not_wait_for_are_cancelled() -> None:
    record = RequestRecord("generate")
    record.found("generate", "one")
    stream = record.streamed(record.use("one"), "one", choices=3)
    stream.add(burst("a", finish="length"))
    samples, _ = record.close(success=False, cancelled=True)
    ended = {key(each)[3]: each.amounts for each in samples if each.signal == "finished_sequences"}
    assert ended == {"length": (1,), "cancelled": (2,)}
