"""Fields that every route of text generation reads or answers alike: seed, stop, usage."""

from __future__ import annotations

import secrets

GENERATE = "generate"
SEEDS = 2**63


def seed_of(given: int | None) -> int:
    """A seed in any case: another replica can then repeat the work of a lost one unchanged."""
    return secrets.randbelow(SEEDS) if given is None else given % SEEDS


def stops(given: str | list[str] | None) -> tuple[str, ...]:
    """The stop strings; an empty string alone is none."""
    if not given:
        return ()
    return (given,) if isinstance(given, str) else tuple(given)


def usage(prompt_tokens: int, new_tokens: int) -> dict[str, int]:
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": new_tokens,
        "total_tokens": prompt_tokens + new_tokens,
    }
