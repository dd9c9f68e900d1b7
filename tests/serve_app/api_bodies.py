"""For each body of other servers' APIs, requests that have every field that is honoured."""

from __future__ import annotations

from serve_app.ingress.validation.fields import Body
from tests.serve_app.api_bodies_anthropic import ANTHROPIC
from tests.serve_app.api_bodies_cohere import COHERE
from tests.serve_app.api_bodies_hugging_face import HUGGING_FACE
from tests.serve_app.api_bodies_openai import OPENAI
from tests.serve_app.api_bodies_vllm import VLLM
from tests.serve_app.api_body_parts import Bodies

FULL: dict[type[Body], Bodies] = {**OPENAI, **ANTHROPIC, **COHERE, **HUGGING_FACE, **VLLM}
