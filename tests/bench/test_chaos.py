"""What the chaos bench says of a stream: the same, altered, lost with a word, or silent."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

import httpx
import pytest

import configs.shapes
from bench.chaos.__main__ import explain
from bench.chaos.disk import SmallDisk
from bench.chaos.events import Begin, Finish, Scenario
from bench.chaos.graph import BrokenGraph
from bench.chaos.paced import PacedRunner
from bench.chaos.reading import Ending, Refusal, StreamAnswer, read
from bench.chaos.requests import CHAT, NATIVE, StreamRequest, greedy, mixed, paced, talks
from bench.chaos.running import Outcome, ScenarioRun
from bench.chaos.scenarios import SCENARIOS, loads
from deployments.engine import sequence
from deployments.engine.codec import TextCodec
from deployments.seam.generation import Sampling
from serve_app.launcher.dashboard import Dashboard

DONE = "data: [DONE]\n\n"


def delta(text: str, choice: int = 0, number: int = 0) -> str:
    choices = [{"index": choice, "delta": {"content": text}, "logprob": number / 7}]
    return f"data: {json.dumps({'id': f'chat-{number}', 'choices': choices})}\n\n"


async def answered(text: str, status: int = 200, path: str = CHAT) -> StreamAnswer:
    """What is read of a server that answers with this text."""
    headers = {"content-type": "text/event-stream; charset=utf-8"}
    transport = httpx.MockTransport(lambda _: httpx.Response(status, text=text, headers=headers))
    answer = StreamAnswer(StreamRequest("chat", path, {}))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        await read(client, answer)
    return answer


async def outcome(
    text: str,
    whole: str = delta("a") + delta("b") + DONE,
    *,
    status: int = 200,
    allowed: Refusal | None = None,
    max_lost: int = 0,
) -> Outcome:
    scenario = Scenario("one", (Finish(),), max_lost)
    answer = await answered(text, status)
    answer.allowed = allowed
    return Outcome(scenario, [answer], [await answered(whole)])


def graph() -> BrokenGraph:
    """One that nothing is asked of but its URL."""
    dashboard = Dashboard("http://test", None)
    return BrokenGraph("http://test", os.getpid(), dashboard, {}, SmallDisk(Path(), False))


async def test_ids_the_order_of_choices_and_the_last_digits_of_numbers_may_differ() -> None:
    one = delta("a", 0, 1) + delta("x", 1, 2) + delta("b", 0, 3) + DONE
    other = delta("a", 0, 4) + delta("b", 0, 5) + delta("x", 1, 6) + DONE
    found = await outcome(one, other)
    assert (found.same, found.passed) == (1, True)


@pytest.mark.parametrize("text", [delta("a") + delta("c"), delta("a"), delta("a") + delta("b") * 2])
async def test_another_token_one_too_few_and_one_twice_are_altered(text: str) -> None:
    found = await outcome(text + DONE)
    assert len(found.altered) == 1
    assert not found.passed


async def test_an_end_without_a_last_event_is_silent() -> None:
    found = await outcome(delta("a"))
    assert found.answers[0].ending is Ending.SILENT
    assert (found.altered, found.passed) == ([], False)


async def test_an_error_is_a_loss_and_allowed_only_where_the_scenario_says_so() -> None:
    text = delta("a") + 'data: {"error": {"message": "lost"}}\n\n' + DONE
    found = await outcome(text)
    assert (found.lost, found.passed) == (1, False)
    assert (await outcome(text, max_lost=1)).passed


ENVELOPE = {"success": False, "error_type": "service_unavailable", "message": "away"}
UNAVAILABLE = Refusal(503, "service_unavailable")


@pytest.mark.parametrize(
    ("status", "body", "lost"),
    [
        (503, ENVELOPE, 0),
        (500, ENVELOPE, 1),
        (503, ENVELOPE | {"error_type": "internal_error"}, 1),
        (503, {"error": {"message": "away"}}, 1),
        (503, "not JSON", 1),
    ],
)
async def test_only_the_refusal_that_a_load_allows_is_no_loss(
    status: int, body: object, lost: int
) -> None:
    text = body if isinstance(body, str) else json.dumps(body)
    found = await outcome(text, status=status, allowed=UNAVAILABLE)
    assert (found.lost, found.passed) == (lost, not lost)


async def test_a_refusal_is_a_loss_to_a_stream_of_another_load() -> None:
    found = await outcome(json.dumps(ENVELOPE), status=503)
    assert (found.lost, found.passed) == (1, False)


async def test_a_stream_that_breaks_is_a_loss_where_a_refusal_is_allowed() -> None:
    text = delta("a") + 'data: {"error": {"message": "lost"}}\n\n' + DONE
    assert (await outcome(text, allowed=UNAVAILABLE)).lost == 1


@pytest.mark.parametrize(("allowed", "is_told"), [(UNAVAILABLE, False), (None, True)])
async def test_a_refusal_is_told_unless_it_is_allowed(
    allowed: Refusal | None, is_told: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    explain(await outcome(json.dumps(ENVELOPE), status=503, allowed=allowed))
    assert ("away" in "".join(capsys.readouterr())) is is_told


async def test_each_stream_of_a_load_carries_the_refusal_that_it_is_allowed() -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(503, json=ENVELOPE))
    known = {"talks": talks("m")}
    events = (Begin("talks", UNAVAILABLE), Begin("talks"), Finish())
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        wholes = {"talks": [StreamAnswer(each) for each in known["talks"]]}
        run = ScenarioRun(graph(), client, known, wholes, Scenario("one", events))
        found = await run.run()
    assert found.endings[Ending.REFUSED] == 32
    assert found.lost == 16


@pytest.mark.parametrize(
    ("error", "passes"), [(httpx.RemoteProtocolError, True), (httpx.ReadTimeout, False)]
)
async def test_a_stream_that_hangs_is_silent_where_one_that_is_cut_may_be_lost(
    error: type[httpx.TransportError], passes: bool
) -> None:
    def broken(request: httpx.Request) -> httpx.Response:
        raise error("", request=request)

    answer = StreamAnswer(StreamRequest("chat", CHAT, {}))
    transport = httpx.MockTransport(broken)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        await read(client, answer)
    scenario = Scenario("one", (Finish(),), max_lost=1)
    assert Outcome(scenario, [answer], [await answered(delta("a") + DONE)]).passed is passes


async def test_a_refusal_is_an_error_with_its_status() -> None:
    found = await answered('{"error": {}}', 503)
    assert found.ending is Ending.REFUSED
    assert found.detail.startswith("503")


async def test_a_native_stream_ends_with_its_result_or_its_error() -> None:
    token = 'event: token\ndata: {"text_delta": "a"}\n\n'
    whole = await answered(
        f'{token}event: result\ndata: {{"generated_text": "a"}}\n\n', path=NATIVE
    )
    failed = await answered(f'{token}event: error\ndata: {{"error": "x"}}\n\n', path=NATIVE)
    assert (whole.ending, failed.ending) == (Ending.WHOLE, Ending.REFUSED)


async def test_a_slow_recovery_fails_a_scenario() -> None:
    found = await outcome(delta("a") + delta("b") + DONE)
    found.recoveries_s = [found.scenario.recovery_s + 1]
    assert not found.passed


async def test_an_answer_in_one_piece_is_compared_too() -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(200, json={"mood": 1, "id": "x"}))
    answer = StreamAnswer(StreamRequest("classify", "/classify", {}))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        await read(client, answer)
    assert answer.ending is Ending.WHOLE
    assert answer.events == {0: ['{"mood": 1}']}


def test_the_loads_have_the_streams_that_their_names_say() -> None:
    kinds = [each.kind for each in mixed("m", 16)]
    assert len(kinds) == 32
    assert [kinds.count(kind) for kind in ("sampled", "schema", "n: 2")] == [8, 4, 4]
    assert len(greedy("m", 16)) == 20
    assert len(paced("m", 16)) == 32


@pytest.mark.parametrize("temperature", [0.0, 0.9])
def test_a_paced_text_goes_on_as_it_would_have(temperature: float) -> None:
    codec = TextCodec.from_folder(Path(configs.shapes.__file__).parent / "captions")
    runner = PacedRunner(codec, 0.0)
    whole = decoded(runner, codec, Sampling(temperature, seed=5))
    assert decoded(runner, codec, Sampling(temperature, seed=5), whole[:7]) == whole
    other = decoded(runner, codec, Sampling(temperature, seed=6))
    assert (other == whole) == (temperature == 0.0)


def decoded(
    runner: PacedRunner, codec: TextCodec, sampling: Sampling, delivered: Sequence[int] = ()
) -> list[int]:
    """Twenty tokens, of which ``delivered`` are not decoded again."""
    resumed = sequence.Sequence(
        codec=codec,
        prompt_ids=(1, 2),
        sampling=sampling,
        max_new_tokens=30,
        on_token=lambda _: None,
        on_failure=lambda _: None,
        resume_ids=delivered,
    )
    while len(resumed.generated) < 20:
        resumed.append(runner._next(resumed))
    return resumed.generated


def test_every_scenario_begins_a_load_that_there_is() -> None:
    names = {getattr(event, "load", None) for each in SCENARIOS for event in each.events} - {None}
    assert names == loads(16).keys()
    assert len({each.name for each in SCENARIOS}) == len(SCENARIOS)
