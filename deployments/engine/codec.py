"""The tokenizer and chat template of a text generation model, without torch."""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping
from collections.abc import Sequence as Ids
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import jinja2
from tokenizers import Tokenizer
from transformers.utils.chat_template_utils import render_jinja_template

from deployments.engine.decision_settings import DecisionSettings
from deployments.engine.detokenizer import TextStream, TokenBytes, byte_level, fallback_byte
from deployments.engine.literal_text import LiteralText
from deployments.engine.model_folder import ModelFolder
from deployments.engine.template_messages import in_parts, template_message
from deployments.seam.generation import ChatMessage

if TYPE_CHECKING:
    from deployments.engine.image_inputs import ImageInputs

NO_VARIABLES: Mapping[str, Any] = MappingProxyType({})
_PROBE_TOOL = "a-function-by-this-name"


class TextCodec:
    """A model's tokenizer and chat template: text and chats to token ids, and back. Thread-safe.

    ``eos_ids`` end a text, ``special_ids`` have no text, and ``unknown_id``, if the tokenizer names
    one, stands for what it has no token for. ``special_tokens`` are the texts of named ones, such
    as ``bos_token``, as chat templates read them. ``images`` makes the tokens of chats with images,
    if the model reads any.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        folder: ModelFolder,
        chat_template: str | None = None,
        images: ImageInputs | None = None,
    ) -> None:
        tokenizer.no_truncation()
        tokenizer.no_padding()
        self._tokenizer = tokenizer
        self.special_tokens = folder.special_tokens
        control_tokens = folder.tokenizer.get("chat_control_tokens")
        self.decisions = DecisionSettings.of(folder.decisions, control_tokens)
        self.images = images
        own = images.chat_template if images is not None else None
        self._template = chat_template or own or folder.chat_template
        self._token_bytes = TokenBytes(tokenizer)
        self._bytes_of_token = _token_bytes_rule(tokenizer)
        self.vocab_size = int(folder.config.get("vocab_size") or tokenizer.get_vocab_size())
        self.unknown_id = tokenizer.token_to_id(self.special_tokens.get("unk_token", ""))
        self.eos_ids = folder.eos_ids | self._named_ends()
        added = tokenizer.get_added_tokens_decoder()
        self.special_ids = frozenset(each for each, token in added.items() if token.special)

    @classmethod
    def from_folder(
        cls,
        path: Path | str,
        chat_template: str | None = None,
        images: ImageInputs | None = None,
    ) -> TextCodec:
        """Read ``tokenizer.json``, or any other file that transformers makes a tokenizer of.

        ``chat_template`` replaces the folder's own.
        """
        folder = ModelFolder.read(path)
        file = folder.path / "tokenizer.json"
        if file.is_file():
            return cls(Tokenizer.from_file(str(file)), folder, chat_template, images)
        from transformers import AutoTokenizer  # imports torch

        converted = AutoTokenizer.from_pretrained(str(folder.path), local_files_only=True)
        return cls(converted.backend_tokenizer, folder, chat_template, images)

    def encode(self, prompt: str, *, special_tokens: bool = True) -> list[int]:
        """Ids of a plain text, with the ``special_tokens`` that the tokenizer itself adds."""
        return list(self._tokenizer.encode(prompt, add_special_tokens=special_tokens).ids)

    def encode_chat(
        self,
        messages: Iterable[ChatMessage],
        tools: Iterable[str] = (),
        variables: Mapping[str, Any] = NO_VARIABLES,
    ) -> list[int]:
        """Token ids of a chat, up to where the assistant's answer begins.

        ``tools`` are the JSON of OpenAI's tool objects, for templates that show them; ``variables``
        are other variables of the template, which never replace those given here. Without a
        chat template the messages are joined by the end-of-sequence token, as DialoGPT was trained
        (arXiv:1911.00536). Raises ``ValueError``, with a message for the client, when the template
        refuses the messages.
        """
        text = self.render_chat(messages, tools, variables)
        if self.images is None:
            return list(self._tokenizer.encode(text, add_special_tokens=False).ids)
        if problem := self.images.problem(text, ()):
            raise ValueError(problem.message)
        special = self.images.adds_special_tokens(text)
        return list(self._tokenizer.encode(text, add_special_tokens=special).ids)

    def render_chat(
        self,
        messages: Iterable[ChatMessage],
        tools: Iterable[str] = (),
        variables: Mapping[str, Any] = NO_VARIABLES,
    ) -> str:
        """The text of a chat, as :meth:`encode_chat` tokenizes it; with places for its images."""
        turns = [template_message(each) for each in messages]
        if not turns:
            raise ValueError("A chat needs at least one message.")
        if not self._template:
            return self._join(turns)
        return self._render(turns, tools, variables=variables)

    def encode_literal_chat(self, text: str, variables: Mapping[str, Any]) -> list[int]:
        """Token ids of a chat of one user's message, up to where the answer begins.

        What looks like a control token in ``text`` is text, as transformers' chat templates do it
        with ``sanitize_control_tokens``. Raises ``ValueError`` as :meth:`encode_chat` does, and
        where the model has no chat template, and
        :class:`~deployments.engine.literal_text.ControlTokenError`.
        """
        literal = self._literal_text
        turns = [{"role": "user", "content": literal.marked(text)}]
        return literal.encode(self._render(turns, variables=variables))

    @cached_property
    def _literal_text(self) -> LiteralText:
        if not self._template:
            raise ValueError("The model has no chat template.")
        return LiteralText(self._tokenizer, self._template, self.decisions.control_tokens)

    @property
    def shows_tools(self) -> bool:
        """Whether the chat template writes the given tools into the prompt."""
        if not self._template:
            return False
        function = {"name": _PROBE_TOOL, "description": "", "parameters": {"type": "object"}}
        tool = json.dumps({"type": "function", "function": function})
        try:
            return _PROBE_TOOL in self._render([{"role": "user", "content": "?"}], [tool])
        except ValueError:
            return False

    def to_json(self) -> str:
        """The tokenizer, as the text of a ``tokenizer.json``."""
        return str(self._tokenizer.to_str())

    def truncate(
        self,
        messages: tuple[ChatMessage, ...],
        tokens: int,
        encode: Callable[[tuple[ChatMessage, ...]], list[int]] | None = None,
    ) -> tuple[ChatMessage, ...]:
        """The chat with the end of its last message cut off, so that it has up to ``tokens``.

        ``encode`` is :meth:`encode_chat` with the chat's tools and variables, if it has any.
        """
        *before, last = messages
        chat, encode = messages, encode or self.encode_chat
        while chat[-1].content and (excess := len(encode(chat)) - tokens) > 0:
            text = chat[-1].content
            spans = self._tokenizer.encode(text, add_special_tokens=False).offsets
            truncated = text[: spans[-excess][0]] if excess < len(spans) else ""
            chat = (*before, replace(last, content=truncated))
        return chat

    def trim_oldest(
        self, messages: tuple[ChatMessage, ...], tokens: int
    ) -> tuple[ChatMessage, ...]:
        """The chat without as few of its oldest turns as leave it with up to ``tokens``.

        A turn is a user's message and what follows it. Messages before the first turn are kept, and
        so is the last turn, even if it does not fit.
        """
        starts = [place for place, each in enumerate(messages) if each.role == "user"]
        if not starts:
            return messages
        head = messages[: starts[0]]

        def fits(start: int) -> bool:
            return len(self.encode_chat((*head, *messages[start:]))) <= tokens

        if fits(starts[0]):
            return messages
        first = bisect_left(starts, True, hi=len(starts) - 1, key=fits)
        return (*head, *messages[starts[first] :])

    def decode(self, ids: Ids[int], *, special_tokens: bool = False) -> str:
        """The text of ``ids``, in which special tokens are spelled out only if asked for."""
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=not special_tokens))

    def stream(self, prompt_ids: Ids[int] = ()) -> TextStream:
        """The detokenizer of one sequence, whose text continues that of its prompt."""
        return TextStream(self._tokenizer, prompt_ids, self._token_bytes)

    def token_bytes(self, token_id: int) -> bytes:
        """The bytes that a token stands for, which may be part of a character."""
        token = self._tokenizer.id_to_token(token_id)
        return b"" if token is None else self._bytes_of_token(token)

    def token_text(self, token_id: int) -> str:
        """A token as lists of log-probabilities show it: parts of characters are U+FFFD."""
        return self.token_bytes(token_id).decode("utf-8", errors="replace")

    def _render(
        self,
        turns: list[dict[str, Any]],
        tools: Iterable[str] = (),
        answer: bool = True,
        variables: Mapping[str, Any] = NO_VARIABLES,
    ) -> str:
        if self.images is not None:
            turns = [{**turn, "content": in_parts(turn["content"])} for turn in turns]
        arguments: dict[str, Any] = {
            **variables,
            **self.special_tokens,
            "conversations": [turns],
            "tools": [json.loads(tool) for tool in tools] or None,
            "chat_template": self._template,
            "add_generation_prompt": answer,
        }
        try:
            rendered: Any = render_jinja_template(**arguments)
        except jinja2.TemplateError as error:
            reason = error.message or "it could not be rendered"
            raise ValueError(
                f"The model's chat template refuses these messages: {reason}"
            ) from error
        except (TypeError, KeyError, IndexError, AttributeError) as error:
            raise ValueError("The model's chat template cannot show these messages.") from error
        return str(rendered[0][0])

    def _join(self, turns: list[dict[str, Any]]) -> str:
        end = self.special_tokens.get("eos_token", "\n")
        return "".join(str(turn["content"]) + end for turn in turns)

    def _named_ends(self) -> frozenset[int]:
        """The tokenizer's end of sequence, and the token that ends a message in the template."""
        ids = [self._tokenizer.token_to_id(self.special_tokens.get("eos_token", ""))]
        if self._template:
            ids.append(self._end_of_turn())
        return frozenset(each for each in ids if each is not None)

    def _end_of_turn(self) -> int | None:
        """The special token behind an assistant's message in the template, if there is one."""
        marker = "assistant-content"
        turns = [{"role": "user", "content": "?"}, {"role": "assistant", "content": marker}]
        try:
            tail = self._render(turns, answer=False).rpartition(marker)[2]
        except ValueError:
            return None
        ids = self._tokenizer.encode(tail.strip(), add_special_tokens=False).ids
        special = self._tokenizer.get_added_tokens_decoder()
        first = ids[0] if ids else None
        return first if first in special and special[first].special else None


def _token_bytes_rule(tokenizer: Tokenizer) -> Callable[[str], bytes]:
    """A function from a token to its bytes, for a vocabulary like GPT-2's or SentencePiece's."""
    decoder = json.dumps(json.loads(tokenizer.to_str()).get("decoder") or {})
    added = {token.content for token in tokenizer.get_added_tokens_decoder().values()}
    spell = byte_level if '"ByteLevel"' in decoder else _sentence_piece

    def rule(token: str) -> bytes:
        return token.encode() if token in added else spell(token)

    return rule


def _sentence_piece(token: str) -> bytes:
    spelt = fallback_byte(token)
    return token.replace("▁", " ").encode() if spelt is None else spelt
