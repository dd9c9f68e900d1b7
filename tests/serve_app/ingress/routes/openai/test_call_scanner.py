from __future__ import annotations

import json
from typing import Any

import pytest

from deployments.seam.generation import ToolCall
from serve_app.ingress.routes.openai.call_scanner import FORMATS, ToolCallScanner

CALL = '<tool_call>\n{"name": "add", "arguments": {"a": 1, "b": "é"}}\n</tool_call>'
OTHER = '<tool_call>{"name": "now"}</tool_call>'


def scanned(text: str, size: int | None = None) -> tuple[str, list[tuple[str, Any]]]:
    """The text and the calls of what a model wrote, given whole or in pieces."""
    scanner = ToolCallScanner(FORMATS["hermes"], ["add", "now"])
    pieces = [text[i : i + size] for i in range(0, len(text), size)] if size else [text]
    found = [each for piece in pieces for each in scanner.push(piece)] + scanner.flush()
    texts = "".join(each for each in found if isinstance(each, str))
    calls = [each for each in found if isinstance(each, ToolCall)]
    assert len({call.id for call in calls}) == len(calls)
    return texts, [(call.name, json.loads(call.arguments)) for call in calls]


ADD: tuple[str, Any] = ("add", {"a": 1, "b": "é"})
NOW: tuple[str, Any] = ("now", {})


@pytest.mark.parametrize("size", [None, 1, 2, 7, 30])
@pytest.mark.parametrize(
    ("written", "text", "calls"),
    [
        ("Hello there. ", "Hello there. ", []),
        (CALL, "", [ADD]),
        (f"\n{CALL}\n{OTHER}\n", "", [ADD, NOW]),
        (f"Let me see.\n\n{CALL}", "Let me see.", [ADD]),
        (f"{CALL}\n\nDone.", "Done.", [ADD]),
        (CALL.removesuffix("\n</tool_call>"), "", [ADD]),
        ("<tool_call>\n{broken\n</tool_call>", "<tool_call>\n{broken\n</tool_call>", []),
        ('<tool_call>{"name": "rm"}</tool_call>', '<tool_call>{"name": "rm"}</tool_call>', []),
        ('<tool_call>{"name": "add", "arguments": [1]}</tool_call>',) * 2 + ([],),
        ('<tool_call>{"name": "add", "arguments": {"a": NaN}}</tool_call>',) * 2 + ([],),
        ("<tool_call>[1]</tool_call>", "<tool_call>[1]</tool_call>", []),
        ('<tool_call>\n{"name": "add", "argu', '<tool_call>\n{"name": "add", "argu', []),
        ("1 < 2 and <tool", "1 < 2 and <tool", []),
        ("<<tool_call>x", "<<tool_call>x", []),
        ("between <tool_call> and </tool_call>. ",) * 2 + ([],),
        (f"<tool_call> is a mark. {CALL}", "<tool_call> is a mark.", [ADD]),
        (f"<tool_call>\n{{broken {CALL}", "<tool_call>\n{broken", [ADD]),
        (f'<tool_call>{{"a": "x\n{CALL}', '<tool_call>{"a": "x', [ADD]),
        (f"<tool_call>{{]{CALL}", "<tool_call>{]", [ADD]),
        (f'<tool_call>{{"name": "rm"}}{OTHER}', '<tool_call>{"name": "rm"}', [NOW]),
        (f'<tool_call>{{"name": ["add"]}}{OTHER}', '<tool_call>{"name": ["add"]}', [NOW]),
        (f"<tool_call>{OTHER}", "<tool_call>", [NOW]),
        ('<tool_call>{"name": "now"}<tool_call>{"name": "now"}', "", [NOW, NOW]),
        ('<tool_call>{"name": "now"} So.', "So.", [NOW]),
        (f"{OTHER} </tool_call> x", "</tool_call> x", [NOW]),
        ('<tool_call>{"name": "now"}</tool', "", [NOW]),
        (
            '<tool_call>{"name": "add", "arguments": {"a": "</tool_call>\\"}<tool_call>"}}',
            "",
            [("add", {"a": '</tool_call>"}<tool_call>'})],
        ),
        (
            '<tool_call>{"arguments": {"{": ["}", {"\\\\": "é😀"}]}, "name": "add"}',
            "",
            [("add", {"{": ["}", {"\\": "é😀"}]})],
        ),
        ('<tool_call>{"name": "now", "name": "add"}</tool_call>', "", [("add", {})]),
    ],
)
def test_calls_and_text_are_told_apart_however_they_are_cut(
    written: str, text: str, calls: list[tuple[str, Any]], size: int | None
) -> None:
    assert scanned(written, size) == (text, calls)


def test_text_passes_at_once_and_only_what_may_begin_a_call_waits() -> None:
    scanner = ToolCallScanner(FORMATS["hermes"], ["now"])
    assert scanner.push("One ") == ["One"]
    assert scanner.push("two <too") == [" two"]
    assert scanner.push("ls>") == [" <tools>"]
    assert scanner.push(OTHER[:20]) == []
    (call,) = scanner.push(OTHER[20:])
    assert isinstance(call, ToolCall)
    assert scanner.flush() == []
