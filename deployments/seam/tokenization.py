"""Requests for the token ids of a text generator's prompts and chats, and for their text."""

from __future__ import annotations

from dataclasses import dataclass

from deployments.seam.generation import ChatMessage


@dataclass(frozen=True, slots=True)
class TokenizeRequest:
    """A prompt, or a chat up to where its answer begins, to be made into token ids.

    Exactly one of ``prompt`` and ``messages`` is given. ``special_tokens`` are those that the
    tokenizer adds to a prompt; a chat has those of its template. ``tools`` are for the template,
    each the JSON of one of OpenAI's tool objects.
    """

    model: str
    prompt: str | None = None
    messages: tuple[ChatMessage, ...] | None = None
    tools: tuple[str, ...] = ()
    special_tokens: bool = True


@dataclass(frozen=True, slots=True)
class TokenizeResult:
    """The ids and the text of each token, and the model's ``window`` in tokens."""

    ids: tuple[int, ...]
    texts: tuple[str, ...]
    window: int


@dataclass(frozen=True, slots=True)
class DetokenizeRequest:
    """Token ids to be made into text."""

    model: str
    ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class DetokenizeResult:
    """The text of the ids, special tokens included."""

    text: str
