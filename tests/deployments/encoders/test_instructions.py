"""How each kind of sequence-to-sequence checkpoint is told the languages."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from deployments.encoders.instructions import (
    Instruction,
    summary_instruction,
    translation_instruction,
)
from deployments.seam.problems import Problem

PLAIN = SimpleNamespace()
T5 = SimpleNamespace(
    task_specific_params={
        "summarization": {"prefix": "summarize: "},
        "translation_en_to_de": {"prefix": "translate English to German: "},
        "translation_en_to_fr": {"prefix": "translate English to French: "},
    }
)


class Nllb:
    """The part of a tokenizer with a token for each language."""

    src_lang = "eng_Latn"
    bos_token, eos_token, unk_token, pad_token = "<s>", "</s>", "<unk>", "<pad>"
    cls_token = sep_token = mask_token = None

    def get_added_vocab(self) -> dict[str, int]:
        return {"<s>": 0, "</s>": 2, "eng_Latn": 7, "deu_Latn": 8}


M2M100 = SimpleNamespace(src_lang="en", lang_token_to_id={"__en__": 7, "__de__": 8})
MARIAN = SimpleNamespace(source_lang="en", target_lang="de", supported_language_codes=[])
TARGETS = SimpleNamespace(supported_language_codes=[">>fra<<", ">>ita<<"])


@pytest.mark.parametrize(
    ("tokenizer", "config", "languages", "told"),
    [
        (PLAIN, T5, ("en", "de"), Instruction("translate English to German: ")),
        (PLAIN, T5, (None, "fr"), Instruction("translate English to French: ")),
        (Nllb(), PLAIN, ("deu_Latn", "eng_Latn"), Instruction("", "deu_Latn", 7)),
        (Nllb(), PLAIN, (None, "deu_Latn"), Instruction("", "eng_Latn", 8)),
        (M2M100, PLAIN, ("en", "de"), Instruction("", "en", 8)),
        (MARIAN, PLAIN, (None, None), Instruction()),
        (MARIAN, PLAIN, ("en", "de"), Instruction()),
        (TARGETS, PLAIN, (None, "ita"), Instruction(">>ita<< ")),
        (PLAIN, PLAIN, (None, None), Instruction()),
    ],
)
def test_languages_are_told_as_the_model_was_trained(
    tokenizer: Any, config: Any, languages: tuple[str | None, str | None], told: Instruction
) -> None:
    assert translation_instruction(tokenizer, config, *languages) == told


@pytest.mark.parametrize(
    ("tokenizer", "config", "languages", "field", "words"),
    [
        (PLAIN, T5, (None, None), "target_lang", "en to de, en to fr"),
        (PLAIN, T5, ("en", "it"), "target_lang", "en to de, en to fr"),
        (PLAIN, T5, ("it", "de"), "source_lang", "en to de, en to fr"),
        (Nllb(), PLAIN, (None, None), "target_lang", "deu_Latn, eng_Latn"),
        (Nllb(), PLAIN, (None, "</s>"), "target_lang", "no language '</s>'"),
        (Nllb(), PLAIN, ("the", "deu_Latn"), "source_lang", "no language 'the'"),
        (M2M100, PLAIN, (None, "__de__"), "target_lang", "it has de, en"),
        (MARIAN, PLAIN, ("en", "fr"), "target_lang", "is de, not 'fr'"),
        (TARGETS, PLAIN, (None, None), "target_lang", "fra, ita"),
        (TARGETS, PLAIN, (None, "deu"), "target_lang", "fra, ita"),
        (TARGETS, PLAIN, ("en", "ita"), "source_lang", "by itself"),
        (PLAIN, PLAIN, ("en", None), "source_lang", "no languages"),
    ],
)
def test_a_language_that_the_model_does_not_have_is_named(
    tokenizer: Any,
    config: Any,
    languages: tuple[str | None, str | None],
    field: str,
    words: str,
) -> None:
    problem = translation_instruction(tokenizer, config, *languages)
    assert isinstance(problem, Problem)
    assert (problem.kind, problem.field) == ("validation", field)
    assert words in problem.message


def test_a_message_names_only_some_of_two_hundred_languages() -> None:
    many = SimpleNamespace(src_lang="en", lang_token_to_id={f"__{i}__": i for i in range(200)})
    problem = translation_instruction(many, PLAIN, None, "x" * 1000)
    assert isinstance(problem, Problem)
    assert len(problem.message) < 200
    assert "188 more" in problem.message


def test_summaries_have_the_prefix_of_the_checkpoint() -> None:
    assert summary_instruction(T5) == Instruction("summarize: ")
    assert summary_instruction(PLAIN) == Instruction()
