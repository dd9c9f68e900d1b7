"""`GET /`: the playground for browsers, and paths as JSON for every other client."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from html import escape
from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel
from starlette.responses import HTMLResponse, Response

from serve_app.ingress.front.access import HOST
from serve_app.ingress.model_card import ModelCard
from serve_app.ingress.playground import files as playground
from serve_app.ingress.routes.context import NATIVE_PREFIX, RequestServices, json_response

router = APIRouter(tags=["health"])


class Signpost(BaseModel):
    """Paths of this server."""

    service: str
    docs: str
    openapi: str
    health: str
    native: str
    openai: str
    hugging_face: str
    mcp: str


SIGNPOST = Signpost(
    service="prsm-serve",
    docs="/docs",
    openapi="/openapi.json",
    health="/health",
    native=NATIVE_PREFIX,
    openai="/v1",
    hugging_face="/models/{model_id}",
    mcp="/mcp",
).model_dump()
LINKS = {
    "/docs": "every route, to try out in the browser",
    "/redoc": "every route, to read",
    "/openapi.json": "the same for programs",
    "/health": "state of the deployments",
    "/metrics": "metrics for Prometheus",
    "/v1/models": "models, as OpenAI's clients list them",
    f"{NATIVE_PREFIX}/models": "models with their engines, limits and replicas",
}
EXAMPLES: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": (
        "/v1/chat/completions",
        {"messages": [{"role": "user", "content": "What is the capital of France?"}]},
    ),
    "embed": ("/v1/embeddings", {"input": ["a kitten", "a share"]}),
    "sentiment": (f"{NATIVE_PREFIX}/classify", {"texts": "my new favourite album"}),
    "rerank": ("/v1/rerank", {"query": "a pet", "documents": ["a kitten", "a share"]}),
    "generate": (f"{NATIVE_PREFIX}/generate", {"prompt": "Once upon a time"}),
    "entities": (f"{NATIVE_PREFIX}/entities", {"texts": "Ada moved to London last May."}),
    "summarize": (f"{NATIVE_PREFIX}/summarize", {"texts": "A long text."}),
}
"""By task, the most usual first: a route and a body. The page shows those that can be answered."""
MAX_EXAMPLES = 3
UNKNOWN_ADDRESS = "http://SERVER"

QUALITY = re.compile(r"q=(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)")
HTML_RESPONSE: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/html": {"schema": {"type": "string"}}}}
}


@router.get("/", summary="Where to go from here", response_model=Signpost, responses=HTML_RESPONSE)
async def root(request: Request, services: RequestServices) -> Response:
    """Paths of this server: the playground where `Accept` prefers `text/html`, JSON otherwise."""
    headers = {"Vary": "Accept"}
    if not prefers_html(request.headers.get("accept", "")):
        return json_response(SIGNPOST, headers)
    headers |= {
        "Content-Security-Policy": playground.POLICY,
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-store",  # the page shows the requested address
    }
    prefix = str(request.scope.get("root_path", "")).rstrip("/")
    needs_key = services.settings.needs_keys
    page = playground.page(
        base=escape(prefix),
        links="\n".join(_links(prefix)),
        families="\n".join(_families(services.catalog.cards)),
        examples="\n".join(
            _examples(services.catalog.cards, _address(request) + prefix, needs_key)
        ),
    )
    return HTMLResponse(page, headers=headers)


def prefers_html(accept: str) -> bool:
    """Whether an ``Accept`` header names ``text/html``, and JSON not as much (RFC 9110, 12.5.1).

    Wildcards do not count: programs send them, and they have always got JSON.
    """
    quality = {"text/html": 0.0, "application/json": 0.0}
    for part in accept.split(","):
        name, *parameters = (each.strip().lower() for each in part.split(";"))
        if name in quality:
            found = [match for each in parameters if (match := QUALITY.fullmatch(each))]
            quality[name] = float(found[0][1]) if found else 1.0
    return quality["text/html"] > quality["application/json"]


def _address(request: Request) -> str:
    """The requested address, if the front has checked its ``Host``."""
    host = request.headers.get("host", "")
    checked = request.app.state.policy.hosts is not None and HOST.fullmatch(host.lower())
    return f"{request.url.scheme}://{host}" if checked else UNKNOWN_ADDRESS


def _links(prefix: str) -> Iterator[str]:
    for path, about in LINKS.items():
        yield f'<li><a href="{escape(prefix + path)}">{escape(path)}</a>: {escape(about)}</li>'


def _families(cards: tuple[ModelCard, ...]) -> Iterator[str]:
    for family in dict.fromkeys(card.family for card in cards):
        yield f"<dt>{escape(family)}</dt>"
        for card in cards:
            if card.family == family:
                tasks = ", ".join(card.tasks)
                yield f"<dd><code>{escape(card.name)}</code> ({escape(tasks)})</dd>"


def _examples(cards: tuple[ModelCard, ...], address: str, needs_key: bool) -> Iterator[str]:
    able = {task: card for card in reversed(cards) for task in card.tasks}
    answered = [(able[task].name, *EXAMPLES[task]) for task in EXAMPLES if task in able]
    for name, path, body in answered[:MAX_EXAMPLES]:
        field = "model" if path.startswith("/v1/") else "model_name"
        lines = [f"curl {shlex.quote(address + path)} -H 'Content-Type: application/json'"]
        if needs_key:
            lines.append("-H 'Authorization: Bearer YOUR_KEY'")
        lines.append(f"-d {shlex.quote(json.dumps({field: name, **body}, ensure_ascii=False))}")
        command = " \\\n  ".join(lines)
        yield f"<pre><code>{escape(command)}</code></pre>"
