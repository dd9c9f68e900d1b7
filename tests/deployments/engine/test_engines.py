"""What every engine does, on real weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from deployments.engine.interface import Engine
from deployments.seam.generation import Token
from tests.deployments.engine.reading import PATIENCE_S, Reader

PARIS = "What is the capital of France?"
STORY = "Tell me a story about a dog."
COUNTING = "1, 2, 3, 1, 2, 3, 1, 2, 3, 1, 2, 3,"


def test_it_knows_the_capital_of_france(engine: Engine) -> None:
    reader = Reader(engine, PARIS, temperature=0.0)
    assert "Paris" in reader.read()
    assert reader.finish == "stop"
    assert reader.ids[-1] in engine.codec.eos_ids
    assert reader.tokens[-1].text == ""


def test_one_event_a_token_and_the_deltas_make_the_text(engine: Engine) -> None:
    reader = Reader(engine, STORY, new=12, temperature=0.0)
    assert reader.read() == engine.codec.decode(reader.ids)
    assert [token.position for token in reader.tokens] == list(range(12))
    assert [token.finish_reason for token in reader.tokens] == [None] * 11 + ["length"]


def test_a_budget_of_one_token(engine: Engine) -> None:
    reader = Reader(engine, STORY, new=1, temperature=0.0)
    reader.read()
    assert (len(reader.tokens), reader.finish) == (1, "length")


def test_a_stop_string_across_tokens_ends_the_text_before_it(engine: Engine) -> None:
    reader = Reader(engine, PARIS, temperature=0.0, stop=("of Fra",))
    assert reader.read() == "The capital "
    assert reader.finish == "stop"


def test_a_stop_string_that_is_nearly_matched_changes_nothing(engine: Engine) -> None:
    plain = Reader(engine, PARIS, temperature=0.0).read()
    assert Reader(engine, PARIS, temperature=0.0, stop=("France is Berlin",)).read() == plain


def test_greedy_is_the_same_twice_and_the_same_as_top_k_one(engine: Engine) -> None:
    first = Reader(engine, STORY, temperature=0.0)
    again = Reader(engine, STORY, temperature=0.0)
    narrow = Reader(engine, STORY, temperature=1.0, top_k=1)
    assert first.read() == again.read() == narrow.read()


def test_a_seed_gives_its_text_again_and_others_differ(engine: Engine) -> None:
    first, again, other, choice = (
        Reader(engine, STORY, temperature=1.0, seed=seed, choice=choice)
        for seed, choice in [(5, 0), (5, 0), (6, 0), (5, 1)]
    )
    for reader in (first, again, other, choice):
        reader.read()
    assert first.ids == again.ids
    assert len({tuple(reader.ids) for reader in (first, other, choice)}) == 3


def test_repetition_penalty_breaks_a_repetition(engine: Engine) -> None:
    counting = engine.codec.encode(COUNTING)
    assert Reader(engine, counting, new=9, temperature=0.0).read() == " 1, 2, 3,"
    bent = Reader(engine, counting, new=9, temperature=0.0, repetition_penalty=1.8).read()
    assert "1, 2" not in bent


@pytest.mark.parametrize("penalty", ["frequency_penalty", "presence_penalty"])
def test_a_penalty_brings_more_kinds_of_tokens_than_a_bonus(
    engine: Engine, needs: Callable[[str], None], penalty: str
) -> None:
    needs(penalty)

    def kinds(amount: float) -> int:
        sampling: dict[str, Any] = {penalty: amount}
        reader = Reader(engine, STORY, temperature=0.0, eos_ids=frozenset(), **sampling)
        reader.read()
        return len(set(reader.ids))

    assert kinds(-2.0) < kinds(2.0)


def test_logprobs_are_of_the_model_and_not_of_the_sampling(
    engine: Engine, needs: Callable[[str], None]
) -> None:
    needs("logprobs")
    plain = Reader(engine, PARIS, new=5, temperature=0.0, logprobs=True)
    bent = Reader(engine, PARIS, new=5, temperature=0.1, top_k=2, top_p=0.2, logprobs=True)
    for reader in (plain, bent):
        reader.read()
    assert plain.ids == bent.ids
    ours, theirs = ([token.logprob for token in reader.tokens] for reader in (plain, bent))
    for one, other, token in zip(ours, theirs, plain.tokens, strict=True):
        assert one is not None
        assert other is not None
        assert one.logprob == pytest.approx(other.logprob, abs=2e-3)
        assert one.logprob < 0
        assert one.raw == engine.codec.token_bytes(token.token_id)


def test_more_sequences_than_slots_all_finish(engine: Engine) -> None:
    count = engine.load().slots * 2 + 1
    readers = [
        Reader(engine, f"{STORY} {number}", new=6, temperature=0.8, seed=number, choice=number)
        for number in range(count)
    ]
    before = engine.load().tokens
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.wait()
        assert reader.problem is None
        assert reader.text == engine.codec.decode(reader.ids)
        assert {token.choice for token in reader.tokens} == {reader.sequence.choice}
    assert engine.load().tokens - before == sum(len(reader.tokens) for reader in readers)


def test_the_rest_of_the_batch_does_not_change_a_greedy_text(engine: Engine) -> None:
    alone = Reader(engine, PARIS, temperature=0.0).read()
    others = [Reader(engine, STORY, new=12, temperature=1.0, seed=s).start() for s in range(3)]
    assert Reader(engine, PARIS, temperature=0.0).read() == alone
    for reader in others:
        reader.wait()


def test_a_cancelled_sequence_frees_its_slot(engine: Engine) -> None:
    active: list[int] = []
    long = [Reader(engine, STORY, new=2000, temperature=0.0, eos_ids=frozenset()) for _ in "12"]
    for reader in long:
        reader.start()
    assert long[0].began.wait(PATIENCE_S)
    for reader in long:
        engine.cancel(reader.sequence)
    follower = Reader(
        engine,
        PARIS,
        new=3,
        temperature=0.0,
        on_token=lambda token: active.append(engine.load().running),
    )
    follower.read()
    assert active == [1, 1, 1]
    assert all(len(reader.tokens) < 2000 and not reader.over.is_set() for reader in long)


def test_a_cancelled_sequence_does_not_wait_any_longer(engine: Engine) -> None:
    slots = engine.load().slots
    running = [
        Reader(engine, STORY, new=2000, temperature=0.0, eos_ids=frozenset()).start()
        for _ in range(slots)
    ]
    for reader in running:
        assert reader.began.wait(PATIENCE_S) or slots == 1
    waiting = Reader(engine, PARIS, temperature=0.0).start()
    assert engine.load().waiting == 1
    engine.cancel(waiting.sequence)
    assert engine.load().waiting == 0
    for reader in running:
        engine.cancel(reader.sequence)
    assert "Paris" in Reader(engine, PARIS, temperature=0.0).read()
    assert waiting.tokens == []


def test_a_cancel_is_seen_while_the_prompt_is_read(engine: Engine) -> None:
    prompt = engine.codec.encode(f"{STORY} " * 200)
    reader = Reader(engine, prompt, temperature=0.0).start()
    engine.cancel(reader.sequence)
    assert "Paris" in Reader(engine, PARIS, temperature=0.0).read()
    assert reader.tokens == []


def test_characters_of_many_bytes_are_never_split(engine: Engine) -> None:
    prompt = engine.codec.encode("你好世界，你好世界，你好世界，")
    reader = Reader(engine, prompt, new=8, temperature=0.0, eos_ids=frozenset())
    reader.read()
    assert any(ord(character) > 0x2000 for character in reader.text)
    assert not any("\ufffd" in token.text for token in reader.tokens[:-1])
    assert reader.text == engine.codec.decode(reader.ids)
    assert any(token.text == "" for token in reader.tokens)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_text_resumes_on_another_replica_without_a_difference(
    engine: Engine, temperature: float
) -> None:
    whole = Reader(engine, STORY, new=10, temperature=temperature, seed=9, repetition_penalty=1.1)
    whole.read()
    rest = Reader(
        engine,
        STORY,
        new=10,
        temperature=temperature,
        seed=9,
        repetition_penalty=1.1,
        resume_ids=tuple(whole.ids[:4]),
    )
    rest.read()
    assert rest.tokens == whole.tokens[4:]


def test_a_callback_that_raises_fails_only_its_own_sequence(engine: Engine) -> None:
    def broken(token: Token) -> None:
        raise LookupError("this reader is broken")

    Reader(engine, STORY, new=2000, temperature=0.0, on_token=broken).start()
    assert "Paris" in Reader(engine, PARIS, temperature=0.0).read()
    engine.check()


def test_what_does_not_fit_the_window_is_refused_at_once(engine: Engine) -> None:
    with pytest.raises(ValueError, match=str(engine.window)):
        Reader(engine, [1] * 10, new=engine.window - 9, temperature=0.0).start()
    with pytest.raises(ValueError, match="do not fit"):
        Reader(engine, [], temperature=0.0).start()


def test_the_load_tells_the_memory_of_the_model(engine: Engine) -> None:
    load = engine.load()
    assert load.memory_bytes is not None
    assert 50 * 2**20 < load.memory_bytes < 4 * 2**30


def test_a_text_may_not_end_before_its_minimum(engine: Engine) -> None:
    plain = Reader(engine, PARIS, temperature=0.0)
    plain.read()
    words = len(plain.tokens) - 1  # the last one is its end
    exact = Reader(engine, PARIS, min_new=words, temperature=0.0)
    exact.read()
    assert exact.ids == plain.ids
    longer = Reader(engine, PARIS, new=words + 8, min_new=words + 4, temperature=0.0)
    longer.read()
    assert len(longer.tokens) > words + 4
    assert longer.ids[:words] == plain.ids[:words]
    assert not engine.codec.eos_ids & set(longer.ids[: words + 4])


def test_what_was_decoded_elsewhere_counts_towards_the_minimum(engine: Engine) -> None:
    whole = Reader(engine, PARIS, new=20, min_new=14, temperature=0.0)
    whole.read()
    already = tuple(whole.ids[:6])
    rest = Reader(engine, PARIS, new=20, min_new=14, temperature=0.0, resume_ids=already)
    rest.read()
    assert rest.tokens == whole.tokens[6:]
