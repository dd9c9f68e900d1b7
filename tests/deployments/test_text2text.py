"""Translations and other texts of sequence-to-sequence models, on tiny ones of random weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import M2M100Config, M2M100ForConditionalGeneration, NllbTokenizer

from deployments.seam.problems import Problem
from deployments.seam.text2text import Text2TextOutput, Text2TextRequest, Text2TextResult
from deployments.summarization import NEW_TOKENS, Summarization
from tests.deployments.families import MAX_TOKENS, family_of, tokenizer
from tests.deployments.test_summarization import LONG, TEXTS, bart, greedy, t5

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.usefixtures("in_replica")]

GERMAN = {"task_specific_params": {"translation_en_to_de": {"prefix": "this is "}}}


async def written(family: Summarization, *texts: str, **request: Any) -> list[Any]:
    answer = await family.text2text(Text2TextRequest("tiny", texts, **request))
    assert isinstance(answer, Text2TextResult), answer
    return list(answer.items)


def family(folder: Path) -> Summarization:
    return Summarization(family_of(folder, "translate", "text2text", max_tokens=MAX_TOKENS))


async def test_a_text_is_the_models_greedy_one(tmp_path: Path) -> None:
    folder = t5(tmp_path / "model")
    made = await written(family(folder), *TEXTS, max_new_tokens=12)
    for text, each in zip(TEXTS, made, strict=True):
        expected = greedy(folder, text, 12, 0)
        shown = tokenizer().decode(expected, skip_special_tokens=True).strip()
        read = len(tokenizer()(text)["input_ids"])
        assert each == Text2TextOutput(shown, read, len(expected))


async def test_a_translation_has_the_prefix_of_its_languages(tmp_path: Path) -> None:
    model = family(t5(tmp_path / "model", **GERMAN))
    told = await written(model, "a b", translate=True, target_lang="de", max_new_tokens=9)
    assert told == await written(model, "this is a b", max_new_tokens=9)
    assert told == await written(model, "a b", source_lang="en", max_new_tokens=9)
    assert told != await written(model, "a b", max_new_tokens=9)


async def test_a_language_that_the_model_does_not_have_is_a_problem(tmp_path: Path) -> None:
    model = family(t5(tmp_path / "model", **GERMAN))
    request = Text2TextRequest("tiny", TEXTS, translate=True, target_lang="fr")
    answer = await model.text2text(request)
    assert isinstance(answer, Problem)
    assert answer.field == "target_lang"


async def test_a_text_that_is_too_long_fails_alone_unless_cut(tmp_path: Path) -> None:
    model = family(t5(tmp_path / "model"))
    first, bad = await written(model, TEXTS[0], LONG, max_new_tokens=5)
    assert isinstance(first, Text2TextOutput)
    assert f"length is {MAX_TOKENS} tokens" in bad.message
    (cut,) = await written(model, LONG, max_new_tokens=5, truncate=True)
    assert cut.prompt_tokens == MAX_TOKENS


async def test_without_a_bound_no_more_is_written_than_the_model_can(tmp_path: Path) -> None:
    (text,) = await written(family(bart(tmp_path / "bart")), TEXTS[0])
    assert text.tokens <= 40  # its positions
    (endless,) = await written(family(t5(tmp_path / "t5", eos_token_id=9999)), TEXTS[0])
    assert endless.tokens == NEW_TOKENS
    too_many = Text2TextRequest("tiny", TEXTS, max_new_tokens=41)
    answer = await family(bart(tmp_path / "bart")).text2text(too_many)
    assert isinstance(answer, Problem)
    assert answer.field == "max_new_tokens"


async def test_a_translation_begins_with_the_token_of_its_language(tmp_path: Path) -> None:
    """As NLLB, whose texts carry the language that they are in."""
    words = [
        "<s>",
        "<pad>",
        "</s>",
        "<unk>",
        *"▁abcdefghijklmnopqrstuvwxyz",
        "eng_Latn",
        "deu_Latn",
        "fra_Latn",
    ]
    languages = words[-3:]
    made: Any = NllbTokenizer(
        vocab={word: i for i, word in enumerate(words)},
        merges=[],
        src_lang="eng_Latn",
        extra_special_tokens=languages,
    )
    torch.manual_seed(0)
    sides = ("encoder", "decoder")
    sizes: dict[str, Any] = {f"{side}_layers": 1 for side in sides}
    sizes |= {f"{side}_attention_heads": 2 for side in sides}
    sizes |= {f"{side}_ffn_dim": 16 for side in sides}
    config = M2M100Config(
        vocab_size=len(made),
        d_model=16,
        max_position_embeddings=64,
        init_std=0.5,
        tie_word_embeddings=False,
        decoder_start_token_id=2,
        **sizes,
    )
    model: Any = M2M100ForConditionalGeneration(config)
    torch.nn.init.normal_(model.lm_head.weight, std=2.0)  # random weights say one word for ever
    model.save_pretrained(tmp_path)
    made.save_pretrained(tmp_path)
    taught = Summarization(family_of(tmp_path, "translate", max_tokens=MAX_TOKENS))
    texts: dict[tuple[str, str], str] = {}
    for pair in (("eng_Latn", "deu_Latn"), ("eng_Latn", "fra_Latn"), ("fra_Latn", "deu_Latn")):
        source, target = pair
        request = {"source_lang": source, "target_lang": target, "max_new_tokens": 6}
        (text,) = await written(taught, "abcd", translate=True, **request)
        made.src_lang = source
        inputs = made("abcd", return_tensors="pt")
        ids = model.eval().generate(
            **inputs,
            forced_bos_token_id=made.convert_tokens_to_ids(target),
            max_new_tokens=6,
            do_sample=False,
            num_beams=1,
        )
        texts[pair] = made.decode(ids[0], skip_special_tokens=True).strip()
        assert text.text == texts[pair]
    assert len(set(texts.values())) > 1
