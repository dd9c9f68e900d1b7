"""Sequence-to-sequence summaries, on tiny models of random weights."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForSeq2SeqLM,
    BartConfig,
    BartForConditionalGeneration,
    T5Config,
    T5ForConditionalGeneration,
)

from deployments.seam.problems import Problem
from deployments.seam.summarization import Summary, SummaryRequest, SummaryResult
from deployments.summarization import WRITTEN_TOKEN_BYTES, Passage, Summarization
from tests.deployments.families import MAX_TOKENS, family_of, saved, started, tokenizer
from tests.deployments.forwards import PATIENCE_S
from tests.deployments.held_steps import STALL_S, HeldSteps, check_health_of_slow_steps

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.usefixtures("in_replica")]

TEXTS = ("a b c", "sport and tax", "e f g h i j a b")
LONG = " ".join("abcdefghij" * 2)
SIZES: dict[str, Any] = {
    "vocab_size": len(tokenizer()),
    "d_model": 32,
    "pad_token_id": 0,
    "eos_token_id": 3,
    "bos_token_id": 2,
}


def t5(folder: Path, **config: Any) -> Path:
    torch.manual_seed(0)
    sizes = {"d_kv": 8, "d_ff": 32, "num_layers": 1, "num_heads": 2, "decoder_start_token_id": 0}
    made: Any = T5ForConditionalGeneration(T5Config(**(SIZES | sizes | config)))
    # Random weights say one word for ever: this one is fond of ending, and unsure.
    torch.nn.init.normal_(made.lm_head.weight, std=2.0)
    return saved(made, folder)


def bart(folder: Path) -> Path:
    torch.manual_seed(1)
    layers: dict[str, Any] = {
        f"{side}_{what}": count
        for side in ("encoder", "decoder")
        for what, count in (("layers", 1), ("attention_heads", 2), ("ffn_dim", 32))
    }
    config = BartConfig(
        **SIZES,
        **layers,
        max_position_embeddings=40,
        decoder_start_token_id=2,
        init_std=0.5,
        forced_eos_token_id=None,
    )
    made: Any = BartForConditionalGeneration(config)
    # As checkpoints for summaries come: with beams and lengths of their own.
    made.generation_config.update(num_beams=4, max_length=9, min_length=7, length_penalty=2.0)
    made.generation_config.early_stopping = True
    return saved(made, folder)


@pytest.fixture(params=[t5, bart], ids=["t5", "bart"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    made: Path = request.param(tmp_path / "model")
    return made


async def summarised(
    family: Summarization, *texts: str, most: int = 12, least: int = 0, truncate: bool = False
) -> list[Summary | Problem]:
    request = SummaryRequest("r", "tiny", texts, most, least, truncate)
    answer = await family.summarize(request)
    assert isinstance(answer, SummaryResult)
    return list(answer.items)


def greedy(folder: Path, text: str, most: int, least: int) -> list[int]:
    """The same, token by token, without ``generate``."""
    model: Any = AutoModelForSeq2SeqLM.from_pretrained(folder).eval()
    features = tokenizer()(text, return_tensors="pt")
    ids = [model.config.decoder_start_token_id]
    with torch.inference_mode():
        while len(ids) <= most and (len(ids) == 1 or ids[-1] != 3):
            logits = model(
                input_ids=features["input_ids"],
                attention_mask=features["attention_mask"],
                decoder_input_ids=torch.tensor([ids]),
            ).logits[0, -1]
            if len(ids) <= least:
                logits[3] = float("-inf")
            ids.append(int(logits.argmax()))
    return ids[1:]


@pytest.mark.parametrize(("most", "least"), [(12, 0), (12, 12), (5, 3)])
async def test_a_summary_is_the_models_greedy_text_within_the_bounds(
    folder: Path, most: int, least: int
) -> None:
    family = Summarization(family_of(folder, "summarize", max_tokens=MAX_TOKENS))
    made = await summarised(family, *TEXTS, most=most, least=least)
    for text, summary in zip(TEXTS, made, strict=True):
        assert isinstance(summary, Summary)
        expected = greedy(folder, text, most, least)
        assert summary.text == tokenizer().decode(expected, skip_special_tokens=True).strip()
        assert summary.tokens == len(expected)
        assert least <= summary.tokens <= most
        assert summary.prompt_tokens == len(tokenizer()(text)["input_ids"])


async def test_a_text_that_is_too_long_fails_alone_unless_cut(folder: Path) -> None:
    family = Summarization(family_of(folder, "summarize", max_tokens=MAX_TOKENS))
    first, bad, last = await summarised(family, TEXTS[0], LONG, TEXTS[1])
    assert isinstance(bad, Problem)
    assert f"length is {MAX_TOKENS} tokens" in bad.message
    (alone,) = await summarised(family, TEXTS[0])
    assert first == alone
    assert isinstance(last, Summary)
    (cut,) = await summarised(family, LONG, truncate=True)
    assert isinstance(cut, Summary)
    assert cut.prompt_tokens == MAX_TOKENS


async def test_a_summary_longer_than_the_model_can_write_is_refused(tmp_path: Path) -> None:
    family = Summarization(family_of(bart(tmp_path / "model"), "summarize", max_tokens=MAX_TOKENS))
    answer = await family.summarize(SummaryRequest("r", "tiny", TEXTS, 41))
    assert isinstance(answer, Problem)
    assert answer.field == "max_new_tokens"
    assert "40" in answer.message


@pytest.mark.parametrize(("least", "default_min"), [(50, True), (3, False)])
async def test_bounds_that_the_client_left_open_are_lowered_to_what_the_model_writes(
    tmp_path: Path, least: int, default_min: bool
) -> None:
    family = Summarization(family_of(bart(tmp_path / "model"), "summarize", max_tokens=MAX_TOKENS))
    request = SummaryRequest(
        "r", "tiny", TEXTS, 150, least, default_max=True, default_min=default_min
    )
    answer = await family.summarize(request)
    assert isinstance(answer, SummaryResult)
    written = [item.tokens for item in answer.items if isinstance(item, Summary)]
    assert len(written) == len(TEXTS)
    assert all(min(least, 40) <= tokens <= 40 for tokens in written)


async def test_a_minimum_beyond_what_the_model_writes_is_refused_by_its_name(
    tmp_path: Path,
) -> None:
    family = Summarization(family_of(bart(tmp_path / "model"), "summarize", max_tokens=MAX_TOKENS))
    answer = await family.summarize(SummaryRequest("r", "tiny", TEXTS, 150, 60, default_max=True))
    assert isinstance(answer, Problem)
    assert answer.field == "min_new_tokens"


async def test_the_words_that_a_checkpoint_wants_before_a_text_are_put_there(
    tmp_path: Path,
) -> None:
    asks = {"task_specific_params": {"summarization": {"prefix": "this is "}}}
    plain = Summarization(family_of(t5(tmp_path / "plain"), "summarize", max_tokens=MAX_TOKENS))
    asking = Summarization(
        family_of(t5(tmp_path / "asks", **asks), "summarize", max_tokens=MAX_TOKENS)
    )
    assert await summarised(asking, "a b") == await summarised(plain, "this is a b")


async def test_a_model_that_names_no_bound_writes_no_more_than_the_settings_say(
    tmp_path: Path,
) -> None:
    config = family_of(t5(tmp_path / "model"), "summarize", max_tokens=MAX_TOKENS)
    bound = config.settings.decode_max_new_tokens
    family = Summarization(config)
    answer = await family.summarize(SummaryRequest("r", "tiny", TEXTS, 10**5, 10**5))
    assert isinstance(answer, Problem)
    assert (answer.kind, answer.field) == ("validation", "max_new_tokens")
    assert str(bound) in answer.message
    (longest,) = await summarised(family, TEXTS[0], most=bound, least=bound)
    assert isinstance(longest, Summary)
    assert longest.tokens == bound


async def test_a_summary_that_nobody_waits_for_any_more_ends_at_its_next_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    family = Summarization(family_of(t5(tmp_path / "model"), "summarize", max_tokens=MAX_TOKENS))
    held = HeldSteps(monkeypatch, T5ForConditionalGeneration)
    long = asyncio.create_task(summarised(family, *TEXTS[:2], most=1000, least=1000))
    await held.cancel(long, step=5)
    async with asyncio.timeout(PATIENCE_S):
        (short,) = await summarised(family, TEXTS[1], most=3, least=3)
    assert isinstance(short, Summary)
    assert held.taken <= 5 + 3


async def test_a_summary_is_healthy_while_its_tokens_come_however_long_it_takes(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = family_of(folder, "summarize", max_tokens=MAX_TOKENS)
    settings = config.settings.model_copy(update={"stall_timeout_s": STALL_S})
    family = await started(Summarization(replace(config, settings=settings)))
    held = HeldSteps(monkeypatch, type(AutoModelForSeq2SeqLM.from_pretrained(folder)))
    asking = summarised(family, *TEXTS[:2], most=12, least=12)
    await check_health_of_slow_steps(family, held, asking)


async def test_a_summary_goes_on_for_the_one_of_two_askers_who_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = t5(tmp_path / "model")
    family = Summarization(family_of(folder, "summarize", max_tokens=MAX_TOKENS))
    held = HeldSteps(monkeypatch, T5ForConditionalGeneration)
    both = [asyncio.create_task(summarised(family, text, most=20, least=20)) for text in TEXTS[:2]]
    await held.reach(3)
    both[0].cancel()
    held.let_go()
    async with asyncio.timeout(PATIENCE_S):
        (stays,) = await both[1]
    assert isinstance(stays, Summary)
    expected = greedy(folder, TEXTS[1], 20, 20)
    assert stays.text == tokenizer().decode(expected, skip_special_tokens=True).strip()


async def test_a_long_summary_gives_way_to_a_short_one_and_goes_on_behind_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deployments.summarization.TOKENS_BEFORE_PAUSE", 4)
    most = 40  # all that this BART can place
    model_class = type(AutoModelForSeq2SeqLM.from_pretrained(folder))
    family = Summarization(family_of(folder, "summarize", max_tokens=MAX_TOKENS))
    with pytest.MonkeyPatch.context() as patch:
        held = HeldSteps(patch, model_class)
        long = asyncio.create_task(summarised(family, *TEXTS, most=most, least=most - 1))
        await held.reach(2)
        short = asyncio.create_task(summarised(family, TEXTS[0], most=3, least=3))
        await held.reach(4)  # the short one waits in line by now
        held.let_go()
        async with asyncio.timeout(PATIENCE_S):
            await short
        assert not long.done()
        made = await long
    for text, summary in zip(TEXTS, made, strict=True):
        assert isinstance(summary, Summary)
        expected = greedy(folder, text, most, most - 1)
        assert summary.text == tokenizer().decode(expected, skip_special_tokens=True).strip()
        assert summary.tokens == len(expected)


async def test_summaries_of_much_the_same_length_do_not_interrupt_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deployments.summarization.TOKENS_BEFORE_PAUSE", 1)
    family = Summarization(family_of(t5(tmp_path / "model"), "summarize", max_tokens=MAX_TOKENS))
    held = HeldSteps(monkeypatch, T5ForConditionalGeneration)
    first = asyncio.create_task(summarised(family, TEXTS[0], most=9, least=9))
    await held.reach(2)
    second = asyncio.create_task(summarised(family, TEXTS[1], most=9, least=9))
    await held.reach(4)
    held.let_go()
    async with asyncio.timeout(PATIENCE_S):
        await asyncio.gather(first, second)
    assert held.taken == 9 + 9


async def test_the_size_of_a_waiting_passage_counts_the_tokens_written_so_far() -> None:
    new = Passage({"input_ids": [1, 2, 3]}, 10, 0)
    sizes = [replace(new, ids=tuple(range(count))).nbytes - new.nbytes for count in (0, 1, 100)]
    assert sizes == [0, WRITTEN_TOKEN_BYTES, 100 * WRITTEN_TOKEN_BYTES]
