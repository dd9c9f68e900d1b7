"""A chat's answers in OpenAI's format: whole choices, and the pieces of a stream."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from deployments.seam.generation import GeneratedSequence, Token, TokenLogprob, ToolCall
from serve_app.ingress.model_card import ModelCard
from serve_app.ingress.routes.openai.call_scanner import FORMATS, ToolCallFormat, ToolCallScanner
from serve_app.ingress.routes.openai.tools import Tool


@dataclass(frozen=True, slots=True)
class ToolCallPolicy:
    """The functions that an answer may call, and the format in which its model writes calls.

    With ``forced`` the answer has only calls: other text is the beginning of a call that was cut.
    """

    written: ToolCallFormat
    functions: frozenset[str]
    forced: bool = False

    @classmethod
    def of(cls, card: ModelCard, tools: Sequence[Tool], *, forced: bool) -> ToolCallPolicy | None:
        """``None`` when there is nothing to call."""
        if not tools or card.tool_calls is None:
            return None
        functions = frozenset(tool.function.name for tool in tools)
        return cls(FORMATS[card.tool_calls], functions, forced)

    def allowed_parts(self, found: list[str | ToolCall]) -> list[str | ToolCall]:
        return [each for each in found if not self.forced or isinstance(each, ToolCall)]

    def scanner(self) -> ToolCallScanner:
        return ToolCallScanner(self.written, self.functions)


def whole_choice(
    index: int, choice: GeneratedSequence, calls: ToolCallPolicy | None
) -> dict[str, Any]:
    """One choice of an answer that is complete; without content when it only calls."""
    message: dict[str, Any] = {"role": "assistant", "content": choice.text, "refusal": None}
    reason: str = choice.finish_reason
    if calls is not None:
        scanner = calls.scanner()
        found = calls.allowed_parts([*scanner.push(choice.text), *scanner.flush()])
        made = [each for each in found if isinstance(each, ToolCall)]
        if made:
            text = "".join(each for each in found if isinstance(each, str))
            message |= {"content": text or None, "tool_calls": [_call(each) for each in made]}
            reason = _reason(choice.finish_reason)
        elif calls.forced:
            message["content"] = ""
    return {
        "index": index,
        "message": message,
        "logprobs": _logprobs(choice.logprobs) if choice.logprobs else None,
        "finish_reason": reason,
    }


class ChatPieces:
    """The choices of a stream's chunks, from its tokens.

    The role opens each choice, and its finish reason closes it with an empty delta. A call is
    one piece, sent when the call is complete.
    """

    def __init__(self, calls: ToolCallPolicy | None) -> None:
        self._calls = calls
        self._scanners: dict[int, ToolCallScanner] = {}
        self._called: dict[int, int] = {}

    def of(self, token: Token) -> list[dict[str, Any]]:
        """The pieces that one token adds; there may be none."""
        logprobs = _logprobs((token.logprob,)) if token.logprob else None
        deltas = [self._delta(each, token.choice) for each in self._found(token)]
        if logprobs and not deltas:
            deltas.append({"content": ""})
        made = [_piece(token.choice, delta) for delta in deltas]
        if made:
            made[0]["logprobs"] = logprobs
        if token.position == 0:
            opening = {"role": "assistant", "content": None if self._calls else ""}
            made.insert(0, _piece(token.choice, opening))
        if token.finish_reason:
            called = token.choice in self._called
            reason = _reason(token.finish_reason) if called else token.finish_reason
            made.append({**_piece(token.choice, {}), "finish_reason": reason})
        return made

    def _found(self, token: Token) -> list[str | ToolCall]:
        if self._calls is None:
            return [token.text] if token.text else []
        scanner = self._scanners.get(token.choice)
        if scanner is None:
            scanner = self._scanners[token.choice] = self._calls.scanner()
        rest = scanner.flush if token.finish_reason else list
        return self._calls.allowed_parts([*scanner.push(token.text), *rest()])

    def _delta(self, found: str | ToolCall, choice: int) -> dict[str, Any]:
        if isinstance(found, str):
            return {"content": found}
        index = self._called.get(choice, 0)
        self._called[choice] = index + 1
        return {"tool_calls": [{"index": index, **_call(found)}]}


def _reason(reason: str) -> str:
    """The finish reason of a choice with tool calls; one that was cut off keeps its own."""
    return "tool_calls" if reason == "stop" else reason


def _piece(choice: int, delta: dict[str, Any]) -> dict[str, Any]:
    return {"index": choice, "delta": delta, "logprobs": None, "finish_reason": None}


def _call(call: ToolCall) -> dict[str, Any]:
    function = {"name": call.name, "arguments": call.arguments}
    return {"id": call.id, "type": "function", "function": function}


def _logprobs(logprobs: tuple[TokenLogprob, ...]) -> dict[str, Any]:
    return {
        "content": [
            {
                "token": item.text,
                "logprob": item.logprob,
                "bytes": list(item.raw),
                "top_logprobs": [
                    {"token": text, "logprob": logprob, "bytes": list(raw)}
                    for text, logprob, raw in item.top
                ],
            }
            for item in logprobs
        ],
        "refusal": None,
    }
