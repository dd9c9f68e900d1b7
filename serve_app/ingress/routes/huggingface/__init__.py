"""The API that ``huggingface_hub.InferenceClient`` speaks, one file a kind of task.

What is on the wire follows huggingface_hub's own client and its generated types (from the
specifications in huggingface.js, packages/tasks), TGI's router for text generation and TEI's for
vectors.
"""

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
