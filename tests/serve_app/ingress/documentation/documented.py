"""The embedded profile's OpenAPI document, what it says of a path, and a body for each route."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from jsonschema import Draft202012Validator

from configs.profile_file import load_profile
from configs.settings import Settings
from serve_app.ingress.app import create_app, routers_of
from serve_app.ingress.catalog import Catalog
from serve_app.ingress.cluster.deployment_client import DeploymentClient
from serve_app.ingress.routes.context import Services
from serve_app.ingress.routes.vision import RED_DOT
from tests.serve_app import house
from tests.serve_app.house import NATIVE
from tests.serve_app.local_handle import Family, LocalHandle

CHAT_MODEL = "HuggingFaceTB/SmolLM2-135M-Instruct-torch"
EMBEDDER = "sentence-transformers/all-MiniLM-L6-v2"
RERANKER = "cross-encoder/ms-marco-MiniLM-L12-v2"
HI = [{"role": "user", "content": "Hi"}]


PROFILE = load_profile("embedded")


def application(family: Family, folder: Path = Path("unused")) -> FastAPI:
    """The embedded profile's application, all of whose models are ``family``."""
    profile, settings = PROFILE, Settings(hf_cache_dir=folder)
    calls = DeploymentClient({each.name: LocalHandle(family) for each in profile.families}, 30.0)
    services = Services(Catalog(profile, settings), calls, settings, house.Ready())
    return create_app(services, routers_of(profile))


@cache
def document() -> dict[str, Any]:
    made: dict[str, Any] = json.loads(json.dumps(application(Family()).openapi()))
    return made


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document()["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def template(path: str, method: str) -> dict[str, Any]:
    """The operation of a path whose parameters are filled in."""
    for each, of_method, operation in operations():
        form = re.sub(r"\\\{\w+\\\}", ".+", re.escape(each))
        if of_method == method and re.fullmatch(form, path):
            found: dict[str, Any] = operation
            return found
    raise LookupError(path)


def matches(schema: dict[str, Any], value: Any) -> bool:
    whole = {**schema, "components": document()["components"]}
    return bool(Draft202012Validator(whole).is_valid(value))


GOOD: dict[str, dict[str, Any]] = {
    f"{NATIVE}/generate": {"prompt": "Hi"},
    f"{NATIVE}/generate/stream": {"prompt": "Hi"},
    f"{NATIVE}/query": {"prompt": "Hi", "user_id": "ada"},
    f"{NATIVE}/conversations": {"user_id": "ada", "initial_message": "Hi"},
    f"{NATIVE}/conversations/ada/messages": {"message": "Hi"},
    f"{NATIVE}/embeddings": {"texts": ["a", "b"]},
    f"{NATIVE}/similarity": {"text1": "a", "text2": "b"},
    f"{NATIVE}/search": {"query_text": "a", "candidate_texts": ["b"]},
    f"{NATIVE}/cluster": {"texts": ["a", "b"], "n_clusters": 2},
    f"{NATIVE}/rerank": {"query": "a", "documents": ["b"]},
    f"{NATIVE}/classify": {"texts": "a"},
    f"{NATIVE}/topics": {"texts": "a", "labels": ["x", "y"]},
    f"{NATIVE}/entities": {"texts": "a"},
    f"{NATIVE}/summarize": {"texts": "a"},
    f"{NATIVE}/vision/classify": {"image": RED_DOT},
    f"{NATIVE}/vision/caption": {"image": RED_DOT},
    f"{NATIVE}/vision/question": {"image": RED_DOT, "question": "What?"},
    f"{NATIVE}/vision/detect": {"image": RED_DOT},
    f"{NATIVE}/graph": {"steps": [{"id": "a", "task": "classify", "inputs": {"texts": "a"}}]},
    "/v1/chat/completions": {"messages": HI, "model": CHAT_MODEL},
    "/v1/completions": {"prompt": "Hi", "model": CHAT_MODEL},
    "/v1/embeddings": {"input": "a"},
    "/v1/rerank": {"query": "a", "documents": ["b", {"text": "c"}]},
    "/v1/responses": {"input": HI, "model": CHAT_MODEL},
    "/v1/messages": {"messages": HI, "max_tokens": 9, "model": CHAT_MODEL},
    "/v1/messages/count_tokens": {"messages": HI, "system": "a"},
    "/v2/rerank": {"query": "a", "documents": ["b", "c"]},
    "/v2/embed": {"texts": ["a", "b"], "embedding_types": ["float", "ubinary"]},
    "/v1/embed": {"texts": ["a", "b"]},
    "/rerank": {"query": "a", "texts": ["b"]},
    f"/models/{RERANKER}/rerank": {"query": "a", "documents": ["b"]},
    "/embed": {"inputs": "a"},
    f"/models/{EMBEDDER}/similarity": {"inputs": {"source_sentence": "a", "sentences": ["b"]}},
    "/predict": {"inputs": [["a"]]},
    "/score": {"text_1": "a", "text_2": ["b"]},
    "/classify": {"input": "a"},
    "/pooling": {"input": "a"},
    "/tokenize": {"messages": HI},
    "/detokenize": {"tokens": [1]},
    "/v1/systemone": {"state": "a", "questions": {"b": {"type": "noul"}}},
    "/generate": {"inputs": "Hi"},
    "/generate_stream": {"inputs": "Hi"},
    f"/models/{CHAT_MODEL}": {"inputs": "Hi"},
    f"/models/{EMBEDDER}": {"inputs": ["a", "b"]},
    f"/models/{CHAT_MODEL}/v1/chat/completions": {"messages": HI},
    f"/models/{CHAT_MODEL}/v1/completions": {"prompt": "Hi"},
    f"/models/{EMBEDDER}/v1/embeddings": {"input": "Hi"},
}
"""A body that each route takes."""

GENERATE, CHAT, COMPLETIONS = f"{NATIVE}/generate", "/v1/chat/completions", "/v1/completions"
