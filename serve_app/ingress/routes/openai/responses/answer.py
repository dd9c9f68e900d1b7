"""The object of an answer, and the items of its output."""

from __future__ import annotations

import time
from typing import Any

from deployments.seam.generation import GenerationResult
from serve_app.ingress.routes.openai.chat_answers import ToolCallPolicy, whole_choice
from serve_app.ingress.routes.openai.responses.body import ChosenFunction, ResponsesBody

COMPLETED, INCOMPLETE, IN_PROGRESS = "completed", "incomplete", "in_progress"


def response_object(body: ResponsesBody, response_id: str, model: str) -> dict[str, Any]:
    """An answer that has only begun. It repeats what the request said."""
    wanted = body.text.format if body.text else None
    shown = wanted.model_dump(by_alias=True, exclude_none=True) if wanted else {"type": "text"}
    choice = body.tool_choice or "auto"
    return {
        "id": response_id,
        "object": "response",
        "created_at": int(time.time()),
        "status": IN_PROGRESS,
        "error": None,
        "incomplete_details": None,
        "instructions": body.instructions,
        "max_output_tokens": body.max_output_tokens,
        "model": model,
        "output": [],
        "parallel_tool_calls": body.parallel_tool_calls is not False,
        "previous_response_id": None,
        "reasoning": {"effort": None, "summary": None},
        "store": False,
        "temperature": 1.0 if body.temperature is None else body.temperature,
        "text": {"format": shown},
        "tool_choice": choice.model_dump() if isinstance(choice, ChosenFunction) else choice,
        "tools": [tool.model_dump() for tool in body.tools or ()],
        "top_logprobs": body.top_logprobs or 0,
        "top_p": 1.0 if body.top_p is None else body.top_p,
        "truncation": body.truncation or "disabled",
        "usage": None,
        "user": body.user,
        "metadata": body.metadata or {},
    }


def ended(
    response: dict[str, Any],
    output: list[dict[str, Any]],
    reason: str,
    prompt_tokens: int,
    new_tokens: int,
) -> dict[str, Any]:
    """The answer at its end; ``reason`` is the chat's finish reason."""
    cut = reason == "length"
    return {
        **response,
        "status": INCOMPLETE if cut else COMPLETED,
        "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
        "output": output,
        "usage": {
            "input_tokens": prompt_tokens,
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": new_tokens,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": prompt_tokens + new_tokens,
        },
    }


def whole_output(
    result: GenerationResult, calls: ToolCallPolicy | None, response_id: str
) -> tuple[list[dict[str, Any]], str]:
    """The items of a text that is complete, and its finish reason."""
    choice = whole_choice(0, result.choices[0], calls)
    message, reason = choice["message"], choice["finish_reason"]
    made = message.get("tool_calls", [])
    output = [call_item(each) for each in made]
    if message["content"] or not made:
        logprobs = choice["logprobs"]["content"] if choice["logprobs"] else []
        part = text_part(message["content"] or "", logprobs)
        output.insert(0, message_item(response_id, 0, [part], _status(reason)))
    return output, reason


def message_item(
    response_id: str, index: int, content: list[dict[str, Any]], status: str
) -> dict[str, Any]:
    return {
        "id": f"msg_{response_id.removeprefix('resp_')}_{index}",
        "type": "message",
        "role": "assistant",
        "status": status,
        "content": content,
    }


def text_part(text: str, logprobs: list[Any]) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": logprobs}


def call_item(call: dict[str, Any], *, begun: bool = False) -> dict[str, Any]:
    """A call of a chat's answer; one that has ``begun`` shows no arguments yet."""
    return {
        "id": f"fc_{call['id'].removeprefix('call_')}",
        "type": "function_call",
        "call_id": call["id"],
        "name": call["function"]["name"],
        "arguments": "" if begun else call["function"]["arguments"],
        "status": IN_PROGRESS if begun else COMPLETED,
    }


def _status(reason: str) -> str:
    return INCOMPLETE if reason == "length" else COMPLETED
