"""The kinds of requests: for each its path, how its body is made, and how its answer is checked."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import orjson

from serve_app.load.load import Load
from serve_app.load.texts import TextSource

RequestBody = dict[str, Any]


class BadAnswerError(Exception):
    """The answer does not fit the request; the message says how."""


@dataclass(frozen=True)
class AnswerSize:
    """The size of an answer in units (tokens, texts or documents), and of its prompt in tokens."""

    units: int
    prompt_tokens: int = 0


@dataclass(frozen=True)
class RequestKind:
    """One kind of request. ``unit`` names what its answers are counted in."""

    path: str
    unit: str
    body: Callable[[Load, TextSource], RequestBody]
    answer_size: Callable[[Load, Any], AnswerSize]
    streams: bool = False


def request_body(load: Load, texts: TextSource) -> bytes:
    """The next request's body."""
    kind = KINDS[load.what]
    body = kind.body(load, texts)
    if load.model is not None:
        body["model"] = load.model
    if kind.streams and load.stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    return orjson.dumps(body)


def whole_answer(load: Load, content: bytes) -> AnswerSize:
    """The size of an answer that is not streamed. Raises ``BadAnswerError``."""
    try:
        return KINDS[load.what].answer_size(load, orjson.loads(content))
    except (orjson.JSONDecodeError, KeyError, IndexError, TypeError) as error:
        raise BadAnswerError(f"not of the protocol's shape ({type(error).__name__})") from None


def _generation_options(load: Load) -> RequestBody:
    return {"max_tokens": load.new_tokens, "temperature": load.temperature}


def _chat(load: Load, texts: TextSource) -> RequestBody:
    return {"messages": [{"role": "user", "content": _prompt(texts)}], **_generation_options(load)}


def _completion(load: Load, texts: TextSource) -> RequestBody:
    return {"prompt": _prompt(texts), **_generation_options(load)}


def _prompt(texts: TextSource) -> str:
    # The prompt requests a long text, so that models of any size generate up to the token limit.
    return f"Write a long story, of many pages, in which these words are: {texts()}"


def _embeddings(load: Load, texts: TextSource) -> RequestBody:
    return {"input": [texts() for _ in range(load.per_request)]}


def _rerank(load: Load, texts: TextSource) -> RequestBody:
    return {"query": texts(), "documents": [texts() for _ in range(load.per_request)]}


def _text_size(load: Load, answer: Any) -> AnswerSize:
    choice = answer["choices"][0]
    text = choice["message"]["content"] if "message" in choice else choice["text"]
    usage = answer["usage"]
    if not text and not usage["completion_tokens"]:
        raise BadAnswerError("no text")
    return AnswerSize(usage["completion_tokens"], usage["prompt_tokens"])


def _vectors_size(load: Load, answer: Any) -> AnswerSize:
    vectors = [item["embedding"] for item in answer["data"]]
    if len(vectors) != load.per_request or not all(vectors):
        raise BadAnswerError(f"{len(vectors)} vectors for {load.per_request} texts")
    if not all(math.isfinite(vector[0]) for vector in vectors):
        raise BadAnswerError("a vector that is not finite")
    return AnswerSize(len(vectors), _prompt_tokens(answer))


def _scores_size(load: Load, answer: Any) -> AnswerSize:
    scores = [item["relevance_score"] for item in answer["results"]]
    if len(scores) != load.per_request:
        raise BadAnswerError(f"{len(scores)} scores for {load.per_request} documents")
    return AnswerSize(len(scores), _prompt_tokens(answer))


def _prompt_tokens(answer: Any) -> int:
    usage = answer.get("usage") or {}
    return int(usage.get("prompt_tokens") or usage.get("total_tokens") or 0)


KINDS: Mapping[str, RequestKind] = MappingProxyType(
    {
        "chat": RequestKind("/chat/completions", "tokens", _chat, _text_size, streams=True),
        "completions": RequestKind("/completions", "tokens", _completion, _text_size, streams=True),
        "embeddings": RequestKind("/embeddings", "texts", _embeddings, _vectors_size),
        "rerank": RequestKind("/rerank", "documents", _rerank, _scores_size),
    }
)
