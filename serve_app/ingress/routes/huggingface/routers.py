"""The routers of the API that Hugging Face's clients speak."""

from __future__ import annotations

from fastapi import APIRouter

from serve_app.ingress.routes.huggingface import about, chat, openai
from serve_app.ingress.routes.huggingface import inference as pipelines

ROUTERS: tuple[APIRouter, ...] = (
    chat.router,
    openai.router,
    about.router,
    pipelines.router,
)
"""In this order: the last one's path takes whatever is below ``/models``."""
