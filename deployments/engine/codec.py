"""Text to tokens and back, without torch."""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Callable, Iterable
from collections.abc import Sequence as Ids
from dataclasses import replace
from pathlib import Path
from typing import Any

import jinja2
from tokenizers import Tokenizer
from transformers.utils.chat_template_utils import render_jinja_template

from deployments.engine.detokenizer import Spelling, TextStream, byte_level, fallback_byte
from deployments.engine.model_folder import ModelFolder
from deployments.seam.generation import ChatMessage

_MARKER = "a-function-by-this-name"


class TextCodec:
    """A model's tokenizer and chat template. Every method may be called from any thread."""

    def __init__(
        self, tokenizer: Tokenizer, folder: ModelFolder, chat_template: str | None = None
    ) -> None:
        tokenizer.no_truncation()
        tokenizer.no_padding()
        self._tokenizer = tokenizer
        self._special_tokens = folder.special_tokens
        self._template = chat_template or folder.chat_template
        self._spelling = Spelling(tokenizer)
        self._to_bytes = _token_bytes_rule(tokenizer)
        self.vocab_size = int(folder.config.get("vocab_size") or tokenizer.get_vocab_size())
        self.eos_ids = folder.eos_ids | self._named_ends()
        added = tokenizer.get_added_tokens_decoder()
        self.special_ids = frozenset(each for each, token in added.items() if token.special)

    @classmethod
    def from_folder(cls, path: Path | str, chat_template: str | None = None) -> TextCodec:
        """Read ``tokenizer.json``, or whatever else transformers can make a tokenizer of.

        ``chat_template`` takes the place of the folder's own.
        """
        folder = ModelFolder.read(path)
        file = folder.path / "tokenizer.json"
        if file.is_file():
            return cls(Tokenizer.from_file(str(file)), folder, chat_template)
        from transformers import AutoTokenizer  # imports torch

        converted = AutoTokenizer.from_pretrained(str(folder.path), local_files_only=True)
        return cls(converted.backend_tokenizer, folder, chat_template)

    def encode(self, prompt: str) -> list[int]:
        """Ids of a plain text, with the special tokens that the tokenizer itself adds."""
        return list(self._tokenizer.encode(prompt).ids)

    def encode_chat(self, messages: Iterable[ChatMessage], tools: Iterable[str] = ()) -> list[int]:
        """Ids of a chat, ending where the assistant's answer begins.

        ``tools`` are the JSON of OpenAI's tool objects, for templates that show them. A model
        without a template gets the turns joined by its end-of-sequence token, as DialoGPT was
        trained (arXiv:1911.00536). Raises ``ValueError``, with a message for the client, when
        the model's template refuses the messages.
        """
        turns = [_turn(each) for each in messages]
        if not turns:
            raise ValueError("A chat needs at least one message.")
        text = self._render(turns, tools) if self._template else self._join(turns)
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids)

    @property
    def shows_tools(self) -> bool:
        """Whether the chat template tells the model of the tools that it is given."""
        if not self._template:
            return False
        function = {"name": _MARKER, "description": "", "parameters": {"type": "object"}}
        tool = json.dumps({"type": "function", "function": function})
        try:
            return _MARKER in self._render([{"role": "user", "content": "?"}], [tool])
        except ValueError:
            return False

    def shortened(self, messages: tuple[ChatMessage, ...], tokens: int) -> tuple[ChatMessage, ...]:
        """The chat with the end of its last message cut off, so that it has up to ``tokens``."""
        *before, last = messages
        chat = messages
        while chat[-1].content and (excess := len(self.encode_chat(chat)) - tokens) > 0:
            text = chat[-1].content
            spans = self._tokenizer.encode(text, add_special_tokens=False).offsets
            kept = text[: spans[-excess][0]] if excess < len(spans) else ""
            chat = (*before, replace(last, content=kept))
        return chat

    def to_json(self) -> str:
        """The tokenizer as its ``tokenizer.json`` would have it."""
        return str(self._tokenizer.to_str())

    def newest(self, messages: tuple[ChatMessage, ...], tokens: int) -> tuple[ChatMessage, ...]:
        """The chat without its oldest turns, as many as have to go for it to have ``tokens``.

        A turn is what a user says and what follows it. System messages before the first turn stay,
        and so does the last turn, fit or not.
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

    def decode(self, ids: Ids[int]) -> str:
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=True))

    def stream(self, prompt_ids: Ids[int] = ()) -> TextStream:
        """A decoder of one sequence, token by token, behind the text of its prompt."""
        return TextStream(self._tokenizer, prompt_ids, self._spelling)

    def token_bytes(self, token_id: int) -> bytes:
        """The bytes that a token stands for; part of a character for some tokens."""
        token = self._tokenizer.id_to_token(token_id)
        return b"" if token is None else self._to_bytes(token)

    def token_text(self, token_id: int) -> str:
        """A token as it is shown in a list of log-probabilities; U+FFFD for parts of characters."""
        return self.token_bytes(token_id).decode("utf-8", errors="replace")

    def _render(
        self, turns: list[dict[str, Any]], tools: Iterable[str] = (), answer: bool = True
    ) -> str:
        arguments: dict[str, Any] = {
            **self._special_tokens,
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
        end = self._special_tokens.get("eos_token", "\n")
        return "".join(str(turn["content"]) + end for turn in turns)

    def _named_ends(self) -> frozenset[int]:
        """The tokenizer's end of sequence, and the token that ends a turn in the template."""
        ids = [self._tokenizer.token_to_id(self._special_tokens.get("eos_token", ""))]
        if self._template:
            ids.append(self._end_of_turn())
        return frozenset(each for each in ids if each is not None)

    def _end_of_turn(self) -> int | None:
        """The special token that follows an assistant's message; ``None`` if it cannot be seen."""
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


def _turn(message: ChatMessage) -> dict[str, Any]:
    """A message as chat templates read it: the arguments of calls are objects, not text."""
    turn: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        turn["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": json.loads(call.arguments)},
            }
            for call in message.tool_calls
        ]
    if message.tool_call_id is not None:
        turn["tool_call_id"] = message.tool_call_id
    if message.name is not None:
        turn["name"] = message.name
    return turn


def _token_bytes_rule(tokenizer: Tokenizer) -> Callable[[str], bytes]:
    """How the tokens of this vocabulary spell bytes: as GPT-2's or as SentencePiece's do."""
    decoder = json.dumps(json.loads(tokenizer.to_str()).get("decoder") or {})
    added = {token.content for token in tokenizer.get_added_tokens_decoder().values()}
    spell = byte_level if '"ByteLevel"' in decoder else _sentence_piece

    def rule(token: str) -> bytes:
        return token.encode() if token in added else spell(token)

    return rule


def _sentence_piece(token: str) -> bytes:
    spelt = fallback_byte(token)
    return token.replace("▁", " ").encode() if spelt is None else spelt
