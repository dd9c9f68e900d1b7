"""The walk of a text through a family of encoders, with a family that needs no model."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import pytest_asyncio
from ray.serve.exceptions import RayServeException

from configs.profile import ModelSpec, UserConfig
from deployments.batching.batcher import MAX_ADMITTED, Batcher
from deployments.batching.joint_preparation import RequestItems
from deployments.batching.model_loader import BatchedModelLoader
from deployments.batching.scheduler import QueuedRequest
from deployments.batching.tuning import PART_CHARACTERS
from deployments.encoders.interface import EncoderInfo
from deployments.encoders.text_encoders import TextEncoder, batched
from deployments.encoders.tokenization import TokenizedText
from deployments.metrics import signals
from deployments.metrics.meter import Meter
from deployments.models.config import FamilyConfig
from deployments.models.family import FamilyDeployment
from deployments.seam.problems import Problem
from deployments.seam.replicas import LiveLimits
from tests.deployments.conftest import Configured
from tests.deployments.families import started
from tests.deployments.forwards import PATIENCE_S, Forwards

# Serve keeps one queue a class, on the event loop that first used it.
pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.usefixtures("in_replica")]


def letters(texts: Sequence[str], **_: Any) -> dict[str, list[list[int]]]:
    """A tokenizer: one token a letter."""
    return {"input_ids": [[ord(letter) for letter in text] for text in texts]}


class DoubleLoader(BatchedModelLoader[TextEncoder[int]]):
    """Its model answers a text with twice its length, and never one of thirteen letters."""

    forwards: Forwards

    def __init__(self, config: FamilyConfig, batcher: Batcher, tokenizer: Any) -> None:
        super().__init__(config, batcher)
        self._tokenizer = tokenizer
        self._loop = asyncio.get_running_loop()

    def load(self, spec: ModelSpec) -> TextEncoder[int]:
        self.forwards = Forwards(self._loop)

        def run(batch: Sequence[TokenizedText]) -> Sequence[int | Problem]:
            if any(len(text) == 13 for text in batch):
                raise ArithmeticError("thirteen")
            return self.forwards([len(text) for text in batch])

        lane = self._batcher.lane(spec.name, batched(run))
        max_tokens = spec.max_tokens or 20
        info = EncoderInfo(max_tokens)
        return TextEncoder(self._tokenizer, info, max_tokens, self._batcher, lane)


class Doubled(FamilyDeployment[TextEncoder[int]]):
    """The deployment of such models."""

    def __init__(self, config: FamilyConfig, tokenizer: Any = letters) -> None:
        meter = Meter(None)
        self.batcher = Batcher(config, meter)
        self._doubles = DoubleLoader(config, self.batcher, tokenizer)
        super().__init__(config, self._doubles, self.batcher, meter)

    @property
    def forwards(self) -> Forwards:
        return self._doubles.forwards

    async def ask(self, *texts: str, batch_size: int | None = None) -> list[int | Problem]:
        async with asyncio.timeout(PATIENCE_S), self._models.use("tiny") as encoder:
            answers, _ = await encoder.answer(texts, truncate=False, max_batch_size=batch_size)
        return answers


LONG = "l" * PART_CHARACTERS


class Held(Doubled):
    """Reads texts when the test lets it; what it reads is kept as their lengths."""

    def __init__(self, config: FamilyConfig) -> None:
        self.reads = Forwards()
        super().__init__(config, self._read)

    def _read(self, texts: Sequence[str], **_: Any) -> dict[str, list[list[int]]]:
        self.reads([len(text) for text in texts])
        return letters(texts)


@pytest_asyncio.fixture(loop_scope="session")
async def family(configured: Configured, classifier_folder: Path) -> Doubled:
    return await started(Doubled(configured(classifier_folder, {"batch_size": 4})))


async def test_answers_keep_the_order_of_texts_of_any_length(family: Doubled) -> None:
    family.forwards.end(100)
    texts = ["ccc", "a", "bbbbb", "", "dd"]
    assert await family.ask(*texts) == [6, 2, 10, 0, 4]


async def test_texts_of_several_requests_share_a_forward(family: Doubled) -> None:
    first = asyncio.create_task(family.ask("a"))
    await family.forwards.started()
    others = [asyncio.create_task(family.ask(text)) for text in ("bb", "ccc", "dddd")]
    encoder = family._models.loaded[0].model
    async with asyncio.timeout(PATIENCE_S):
        while encoder.lane.depth < 3:
            await asyncio.wait(others, timeout=0.001)
    family.forwards.end(2)
    assert await asyncio.gather(first, *others) == [[2], [4], [6], [8]]
    assert family.forwards.batches == [[1], [2, 3, 4]]


async def test_no_forward_is_larger_than_the_batch_size_of_the_settings(family: Doubled) -> None:
    family.forwards.end(100)
    await family.ask(*("x" * length for length in range(10)))
    assert sum(map(len, family.forwards.batches)) == 10
    assert max(map(len, family.forwards.batches)) == 4


async def test_a_request_can_ask_for_smaller_forwards(family: Doubled) -> None:
    family.reconfigure({"max_forward_ms": 60_000})
    family.forwards.end(100)
    answers = await family.ask(*("x" * length for length in range(5)), batch_size=2)
    assert answers == [0, 2, 4, 6, 8]
    assert [len(batch) for batch in family.forwards.batches] == [2, 2, 1]


async def test_a_running_replica_takes_a_new_batch_size(family: Doubled) -> None:
    family.forwards.end(100)
    family.reconfigure({"max_batch_size": 9, "max_forward_ms": 60_000, "batch_wait_timeout_s": 0.0})
    await family.ask(*["xxx"] * 12)
    assert [len(batch) for batch in family.forwards.batches] == [9, 3]


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"max_batch_size": 0}, "user_config.max_batch_size: Input should be greater than 0"),
        ({"max_batch_size": "many"}, "user_config.max_batch_size: Input should be a valid integer"),
        ({"max_batch_size": 2, "max_batch": 2}, "max_batch: unknown key; did you mean max_batch_s"),
        ([4], "user_config: Input should be a valid dictionary"),
    ],
)
async def test_wrong_limits_change_nothing_and_are_told(
    family: Doubled, caplog: pytest.LogCaptureFixture, wrong: Any, why: str
) -> None:
    family.forwards.end(100)
    family.reconfigure({"max_batch_size": 6, "max_forward_ms": 60_000})
    family.reconfigure(wrong)
    (record,) = [each for each in caplog.records if each.levelname == "ERROR"]
    assert why in record.getMessage()
    assert "\n" not in record.getMessage()
    assert refusals(family) == [1]
    await family.ask(*["xxx"] * 12)
    assert [len(batch) for batch in family.forwards.batches] == [6, 6]


async def test_good_limits_behind_wrong_ones_are_taken(family: Doubled) -> None:
    family.forwards.end(100)
    family.reconfigure({"max_batch_size": 0})
    family.reconfigure({"max_batch_size": 9, "max_forward_ms": 60_000})
    assert refusals(family) == [0]
    await family.ask(*["xxx"] * 12)
    assert [len(batch) for batch in family.forwards.batches] == [9, 3]


async def test_the_limits_in_force_are_told_with_what_was_refused(family: Doubled) -> None:
    first = await limits(family)
    assert (first.in_force["max_batch_size"], first.refused) == (4, ())
    assert "max_batch_pixels" not in first.in_force  # texts are not bounded by it
    family.reconfigure({"max_batch_size": 6, "max_batch_tokens": 99})
    family.reconfigure({"max_batch_size": 0})
    told = await limits(family)
    assert (told.in_force["max_batch_size"], told.in_force["max_batch_tokens"]) == (6, 99)
    assert set(told.in_force) == set(UserConfig.model_fields) - {"max_batch_pixels"}
    (why,) = told.refused
    assert why.startswith("user_config.max_batch_size: Input should be greater than 0")
    family.reconfigure({"max_batch_size": 7})
    assert (await limits(family)).refused == ()


async def limits(family: Doubled) -> LiveLimits:
    report = await family.loaded_models(None)
    assert report.limits is not None
    return report.limits


@pytest.mark.parametrize(("lets_in", "together"), [(16, 16), (2**20, MAX_ADMITTED)])
async def test_no_more_requests_are_handed_over_in_one_go_than_the_replica_lets_in(
    family: Doubled,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    lets_in: int,
    together: int,
) -> None:
    """Serve warned of it at each start, as if the operator had to change something."""
    options = SimpleNamespace(max_ongoing_requests=lets_in)
    context = SimpleNamespace(_deployment_config=options)
    monkeypatch.setattr("ray.serve.get_replica_context", lambda: context)
    await family.check_health()
    admit: Any = family.batcher._admit
    assert admit._get_max_batch_size() == together
    options.max_ongoing_requests = 4  # changed while it runs, by another deployment
    await family.check_health()
    assert admit._get_max_batch_size() == 4
    assert "max_ongoing_requests" not in caplog.text
    options.max_ongoing_requests = 2**20  # the queue is the class's: others come after this test
    await family.check_health()


async def test_outside_serve_nothing_bounds_what_is_handed_over(
    family: Doubled, monkeypatch: pytest.MonkeyPatch
) -> None:
    def outside() -> None:
        raise RayServeException("no replica")

    monkeypatch.setattr("deployments.batching.batcher.serve.get_replica_context", outside)
    admit: Any = family.batcher._admit
    before = admit._get_max_batch_size()
    await family.check_health()
    assert admit._get_max_batch_size() == before


def refusals(family: Doubled) -> list[float]:
    return [
        amount
        for sample in family.batcher._gauges()
        if sample.signal == signals.LIMITS_REFUSED.name
        for amount in sample.amounts
    ]


async def test_a_single_text_is_read_before_the_rest_of_a_heavy_list(
    configured: Configured, classifier_folder: Path
) -> None:
    family = await started(Held(configured(classifier_folder)))
    family.forwards.end(100)
    heavy = asyncio.create_task(family.ask(*[LONG] * 5))
    await family.reads.started()
    single = asyncio.create_task(family.ask("a"))
    async with asyncio.timeout(PATIENCE_S):
        while not family.batcher._preparation._waiting:
            await asyncio.wait([single], timeout=0.001)
    family.reads.end(2)
    assert await single == [2]
    assert family.reads.batches[:2] == [[len(LONG)], [1]]
    family.reads.end(4)
    await heavy
    assert family.reads.batches[2:] == [[len(LONG)]] * 4


async def test_a_text_that_is_too_long_or_fails_does_so_alone(family: Doubled) -> None:
    family.forwards.end(100)
    good, long, bad, other = await family.ask("aa", "l" * 21, "b" * 13, "ccc")
    assert (good, other) == (4, 6)
    assert isinstance(long, Problem)
    assert isinstance(bad, Problem)
    assert (long.kind, bad.kind) == ("context_length", "internal")


async def test_a_request_without_a_good_text_needs_no_forward(family: Doubled) -> None:
    (answer,) = await family.ask("l" * 21)
    assert isinstance(answer, Problem)
    assert family.forwards.batches == []


async def test_the_texts_of_a_request_that_was_cancelled_leave_the_queue(family: Doubled) -> None:
    first = asyncio.create_task(family.ask("a"))
    await family.forwards.started()
    gone = asyncio.create_task(family.ask("bb", "ccc"))
    lane = family._models.loaded[0].model.lane
    async with asyncio.timeout(PATIENCE_S):
        while lane.depth < 2:
            await asyncio.wait([gone], timeout=0.001)
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    family.forwards.end(100)
    await first
    assert await family.ask("dddd") == [8]
    assert family.forwards.batches == [[1], [4]]


async def test_texts_whose_request_is_cancelled_while_they_are_admitted_never_queue(
    family: Doubled,
) -> None:
    first = asyncio.create_task(family.ask("a"))
    await family.forwards.started()
    entering = asyncio.Event()
    admit = RequestItems.admit

    def entered(items: RequestItems, made: Sequence[Any]) -> None:
        admit(items, made)
        entering.set()

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(RequestItems, "admit", entered)
        gone = asyncio.create_task(family.ask("bb", "ccc"))
        async with asyncio.timeout(PATIENCE_S):
            await entering.wait()  # queued, but the request does not know yet
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
    assert family._models.loaded[0].model.lane.depth == 0
    family.forwards.end(100)
    await first
    assert await family.ask("dddd") == [8]
    assert family.forwards.batches == [[1], [4]]


async def test_items_of_a_request_that_is_gone_are_not_admitted(family: Doubled) -> None:
    lane = family._models.loaded[0].model.lane
    admitted = asyncio.get_running_loop().create_future()
    items = RequestItems(lane, ["a"], QueuedRequest(), admitted)
    items.cancel()
    items.admit(["a"])
    assert (lane.depth, items.answers) == (0, [])


async def test_texts_that_come_while_others_are_read_are_read_together(
    configured: Configured, classifier_folder: Path
) -> None:
    family = await started(Held(configured(classifier_folder)))
    family.forwards.end(100)
    first = asyncio.create_task(family.ask("a"))
    await family.reads.started()
    others = [asyncio.create_task(family.ask(*texts)) for texts in (["bb", "c"], ["ddd"])]
    async with asyncio.timeout(PATIENCE_S):
        while len(family.batcher._preparation._waiting) < 2:
            await asyncio.wait(others, timeout=0.001)
    family.reads.end(2)
    assert await asyncio.gather(first, *others) == [[2], [4, 2], [6]]
    assert family.reads.batches == [[1], [2, 1, 3]]


async def test_a_request_whose_texts_cannot_be_read_fails_alone(
    configured: Configured, classifier_folder: Path
) -> None:
    class Choosy(Held):
        def _read(self, texts: Sequence[str], **more: Any) -> dict[str, list[list[int]]]:
            read = super()._read(texts, **more)
            if "bad" in texts:
                raise UnicodeError("bad")
            return read

    family = await started(Choosy(configured(classifier_folder)))
    family.forwards.end(100)
    family.reads.end(100)
    asked = [asyncio.create_task(family.ask(text)) for text in ("a", "bad", "cc")]
    first, bad, last = await asyncio.gather(*asked, return_exceptions=True)
    assert (first, last) == ([2], [4])
    assert isinstance(bad, UnicodeError)


async def test_a_forward_that_hangs_fails_the_health_check(
    configured: Configured, classifier_folder: Path
) -> None:
    family = await started(Doubled(configured(classifier_folder, {"stall_timeout_s": 1e-9})))
    await family.check_health()
    asking = asyncio.create_task(family.ask("a"))
    await family.forwards.started()
    with pytest.raises(RuntimeError, match="forward has been running"):
        await family.check_health()
    family.forwards.end()
    await asking
    await family.check_health()


async def test_the_profile_can_bound_the_length_of_texts(
    configured: Configured, classifier_folder: Path
) -> None:
    family = await started(Doubled(configured(classifier_folder, max_tokens=3)))
    family.forwards.end(100)
    short, long = await family.ask("aaa", "aaaa")
    assert short == 6
    assert isinstance(long, Problem)
