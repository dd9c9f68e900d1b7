"""The routers of other servers' APIs and of translated ones, which every application has."""

from __future__ import annotations

from fastapi import APIRouter

from serve_app.ingress.routes import shared_rerank
from serve_app.ingress.routes.anthropic import route as anthropic
from serve_app.ingress.routes.cohere import embed as cohere_embed
from serve_app.ingress.routes.cohere import rerank as cohere_rerank
from serve_app.ingress.routes.openai.responses import route as responses
from serve_app.ingress.routes.tei import embed as tei_embed
from serve_app.ingress.routes.tei import predict as tei_predict
from serve_app.ingress.routes.tgi import generate as tgi_generate
from serve_app.ingress.routes.transformers import route as systemone
from serve_app.ingress.routes.vllm import classify as vllm_classify
from serve_app.ingress.routes.vllm import pooling as vllm_pooling
from serve_app.ingress.routes.vllm import score as vllm_score
from serve_app.ingress.routes.vllm import tokenize as vllm_tokenize

ROUTERS: tuple[APIRouter, ...] = (
    responses.router,
    anthropic.router,
    cohere_rerank.router,
    cohere_embed.router,
    tei_embed.router,
    tei_predict.router,
    shared_rerank.router,
    tgi_generate.router,
    vllm_score.router,
    vllm_classify.router,
    vllm_pooling.router,
    vllm_tokenize.router,
    systemone.router,
)
