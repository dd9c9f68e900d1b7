"""The requests whose streams are broken into: every kind of stream that the graph has."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

CHAT = "/v1/chat/completions"
COMPLETIONS = "/v1/completions"
RESPONSES = "/v1/responses"
MESSAGES = "/v1/messages"
CONVERSATIONS = "/api/v1/huggingface/conversations"
CLASSIFY = "/api/v1/huggingface/classify"
GENERATE = "/api/v1/huggingface/generate"
NATIVE = "/api/v1/huggingface/generate/stream"

TOPICS = (
    *("the sea", "a red bicycle", "winter", "bread", "the moon", "an old house", "music", "rain"),
    *("a mountain", "the first train", "coffee", "a lost key", "snow", "a garden", "gold", "wind"),
)
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "title": {"type": "string", "maxLength": 60},
        "words": {"type": "array", "items": {"type": "string", "maxLength": 20}, "maxItems": 6},
        "count": {"type": "integer"},
    },
    "required": ["title", "words", "count"],
}
TOOL: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "note",
        "description": "Keeps a note.",
        "parameters": {
            "type": "object",
            "properties": {"text": {"type": "string", "maxLength": 120}},
            "required": ["text"],
        },
    },
}


@dataclass(frozen=True)
class StreamRequest:
    """A request, mostly for a stream: its kind, which a report names, its path and its body."""

    kind: str
    path: str
    body: dict[str, Any]


def mixed(model: str, tokens: int) -> tuple[StreamRequest, ...]:
    """32 streams: 16 plain ones over all surfaces, 8 sampled, 4 held to a schema, 4 of two texts.

    For the torch engine, on which a sampled text is the same again.
    """
    return (
        *plain(model, tokens),
        *(
            _chat("sampled", model, tokens, topic, temperature=0.9, top_p=0.95, seed=number)
            for number, topic in enumerate(TOPICS[:8])
        ),
        *(_schema(model, tokens, topic, number) for number, topic in enumerate(TOPICS[:3])),
        _chat("schema", model, tokens, TOPICS[3], tools=[TOOL], tool_choice="required"),
        *(
            _chat("n: 2", model, tokens, topic, n=2, temperature=0.8, seed=number)
            for number, topic in enumerate(TOPICS[8:12])
        ),
    )


def greedy(model: str, tokens: int) -> tuple[StreamRequest, ...]:
    """20 streams whose texts are the same again on any engine."""
    twice = (_chat("n: 2", model, tokens, topic, n=2) for topic in TOPICS[8:12])
    return (*plain(model, tokens, logprobs=False), *twice)


def paced(model: str, tokens: int) -> tuple[StreamRequest, ...]:
    """32 streams whose pace the engine sets: as :func:`mixed`, but none is held to a schema, and
    none asks for log-probabilities, as TGI's do."""
    return (
        *(each for each in plain(model, tokens, logprobs=False) if each.kind != "TGI"),
        *(
            _chat("sampled", model, tokens, topic, temperature=0.9, seed=number)
            for number, topic in enumerate(TOPICS[:13])
        ),
        *(
            _chat("n: 2", model, tokens, topic, n=2, temperature=0.8, seed=3)
            for topic in TOPICS[8:12]
        ),
    )


def talks(model: str) -> tuple[StreamRequest, ...]:
    """Conversations that begin with a message, whose answers are stored before they are sent."""
    return tuple(
        StreamRequest(
            "conversation",
            CONVERSATIONS,
            {"user_id": topic, "initial_message": f"Tell me about {topic}.", "model_name": model},
        )
        for topic in TOPICS
    )


def calls(model: str, tokens: int) -> tuple[StreamRequest, ...]:
    """400 requests that are answered in one piece: classifications and a few texts."""
    texts = (f"{topic}, {number} times" for number in range(25) for topic in TOPICS)
    moods = [StreamRequest("classify", CLASSIFY, {"texts": each}) for each in texts]
    length = {"model_name": model, "max_new_tokens": tokens // 4, "do_sample": False}
    for number, topic in enumerate(TOPICS):
        prompt = {"prompt": f"This is {topic}:", **length}
        moods[number * 20] = StreamRequest("generate", GENERATE, prompt)
    return tuple(moods)


def plain(model: str, tokens: int, *, logprobs: bool = True) -> Iterator[StreamRequest]:
    """16 greedy streams, over OpenAI's three routes, the native one, Anthropic's and TGI's."""
    yield from (_chat("chat", model, tokens, topic) for topic in TOPICS[:4])
    yield from (
        _chat("stop string", model, tokens, topic, stop=[" the of"]) for topic in TOPICS[:2]
    )
    details = {"logprobs": True, "top_logprobs": 2} if logprobs else {}
    yield from (_chat("logprobs", model, tokens, topic, **details) for topic in TOPICS[4:6])
    for topics in (TOPICS[6:8], TOPICS[8:10]):
        prompts = [f"Once upon a time, {topic}" for topic in topics]
        body = {"model": model, "prompt": prompts, "max_tokens": tokens, "temperature": 0}
        yield StreamRequest("completions", COMPLETIONS, body | STREAMED)
    for topic in TOPICS[10:12]:
        length = {"max_new_tokens": tokens, "do_sample": False}
        yield StreamRequest(
            "native", NATIVE, {"prompt": f"This is {topic}:", "model_name": model, **length}
        )
    for topic in TOPICS[12:14]:
        messages = [{"role": "user", "content": f"Write about {topic}."}]
        body = {"model": model, "max_tokens": tokens, "messages": messages, "temperature": 0}
        yield StreamRequest("Anthropic", MESSAGES, body | {"stream": True})
    body = {"model": model, "input": "Write about gold.", "max_output_tokens": tokens}
    yield StreamRequest("Responses", RESPONSES, body | {"temperature": 0, "stream": True})
    generated = {"parameters": {"max_new_tokens": tokens}, "stream": True}
    yield StreamRequest("TGI", f"/models/{model}", {"inputs": "The wind is", **generated})


STREAMED = {"stream": True, "stream_options": {"include_usage": True}}


def _chat(kind: str, model: str, tokens: int, topic: str, **more: Any) -> StreamRequest:
    messages = [{"role": "user", "content": f"Write a long story about {topic}."}]
    body = {"model": model, "messages": messages, "max_tokens": tokens, "temperature": 0}
    return StreamRequest(kind, CHAT, body | STREAMED | more)


def _schema(model: str, tokens: int, topic: str, number: int) -> StreamRequest:
    schema = {"type": "json_schema", "json_schema": {"name": "notes", "schema": SCHEMA}}
    sampled = {"temperature": 0.7 if number == 2 else 0, "seed": number}
    return _chat("schema", model, tokens, topic, response_format=schema, **sampled)
