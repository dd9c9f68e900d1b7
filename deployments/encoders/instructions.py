"""How a sequence-to-sequence model is told what to do: each kind of checkpoint has its own way.

T5 reads a sentence before the text. NLLB, M2M100 and mBART have a token for each language, one in
the text and one that the translation begins with. Marian has two languages, or reads the target's
code before the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from deployments.seam.problems import Problem

T5_TASK = re.compile(r"translation_(\w+)_to_(\w+)")
MAX_NAMED = 12
"""Languages that an error message names."""

MAX_QUOTED = 40
"""Characters of a language code that an error message quotes."""


@dataclass(frozen=True, slots=True)
class Instruction:
    """``prefix`` is put before a text. ``source`` becomes the tokenizer's ``src_lang``, and
    ``first_token`` is the one that the answer begins with."""

    prefix: str = ""
    source: str | None = None
    first_token: int | None = None


def summary_instruction(config: Any) -> Instruction:
    """The text that the checkpoint's authors put before a text to summarise."""
    return Instruction(_prefixes(config).get("summarization", ""))


def translation_instruction(
    tokenizer: Any, config: Any, source: str | None, target: str | None
) -> Instruction | Problem:
    """How to translate from ``source`` to ``target``, or a problem that names the field at fault.

    ``None`` is a language that the request leaves to the model.
    """
    if hasattr(tokenizer, "src_lang"):
        return _by_language_tokens(tokenizer, source, target)
    pairs = {
        (match[1], match[2]): prefix
        for name, prefix in _prefixes(config).items()
        if (match := T5_TASK.fullmatch(name))
    }
    if pairs:
        return _by_prefix(pairs, source, target)
    if codes := getattr(tokenizer, "supported_language_codes", []):
        return _by_target_code([code.strip("<>") for code in codes], source, target)
    return _by_itself(tokenizer, source, target)


def _by_language_tokens(
    tokenizer: Any, source: str | None, target: str | None
) -> Instruction | Problem:
    known = _language_tokens(tokenizer)
    for field, code in (("source_lang", source), ("target_lang", target)):
        if code is not None and code not in known:
            return _unknown(field, code, known)
    if target is None:
        return Problem("validation", f"the model translates to {_named(known)}", "target_lang")
    return Instruction(source=source or tokenizer.src_lang, first_token=known[target])


def _language_tokens(tokenizer: Any) -> dict[str, int]:
    """The tokens of the languages by their codes."""
    if hasattr(tokenizer, "lang_token_to_id"):  # M2M100: en, whose token is __en__
        return {code.strip("_"): token for code, token in tokenizer.lang_token_to_id.items()}
    ordinary = {tokenizer.mask_token, tokenizer.pad_token, tokenizer.unk_token}
    ordinary |= {tokenizer.bos_token, tokenizer.eos_token, tokenizer.cls_token, tokenizer.sep_token}
    added: dict[str, int] = tokenizer.get_added_vocab()
    return {code: token for code, token in added.items() if code not in ordinary}


def _by_prefix(
    pairs: dict[tuple[str, str], str], source: str | None, target: str | None
) -> Instruction | Problem:
    fitting = [
        prefix
        for (one, other), prefix in pairs.items()
        if source in (None, one) and target in (None, other)
    ]
    if len(fitting) == 1:
        return Instruction(fitting[0])
    named = ", ".join(f"{one} to {other}" for one, other in pairs)
    sources = {one for one, _ in pairs}
    field = "source_lang" if source is not None and source not in sources else "target_lang"
    return Problem("validation", f"the model translates {named}", field)


def _by_target_code(
    codes: list[str], source: str | None, target: str | None
) -> Instruction | Problem:
    if source is not None:
        return Problem("validation", "the model finds out the language by itself", "source_lang")
    if target is None:
        return Problem("validation", f"the model translates to {_named(codes)}", "target_lang")
    if target not in codes:
        return _unknown("target_lang", target, codes)
    return Instruction(f">>{target}<< ")


def _by_itself(tokenizer: Any, source: str | None, target: str | None) -> Instruction | Problem:
    """A model of two languages, whose codes a request need not but may name."""
    for field, code in (("source_lang", source), ("target_lang", target)):
        own = getattr(tokenizer, field, None)
        if code is not None and code != own:
            message = "the model knows no languages by their codes; leave it out"
            if own is not None:
                message = f"the language of the model is {own}, not {code[:MAX_QUOTED]!r}"
            return Problem("validation", message, field)
    return Instruction()


def _prefixes(config: Any) -> dict[str, str]:
    """The prefixes in a configuration, by T5's names of tasks."""
    settings = getattr(config, "task_specific_params", None) or {}
    return {name: str((each or {}).get("prefix") or "") for name, each in settings.items()}


def _unknown(field: str, code: str, known: Iterable[str]) -> Problem:
    message = f"the model has no language {code[:MAX_QUOTED]!r}; it has {_named(known)}"
    return Problem("validation", message, field)


def _named(codes: Iterable[str]) -> str:
    names = sorted(codes)
    more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
    return ", ".join(names[:MAX_NAMED]) + more
