"""LangChain's standard suite of chat models, with ``ChatHuggingFace`` over an endpoint."""

from __future__ import annotations

import os
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_huggingface import ChatHuggingFace, HuggingFaceEndpoint
from langchain_tests.integration_tests import ChatModelIntegrationTests

MODELS = f"{os.environ['PRSM_CLIENTS_URL']}/models"


class TestChatHuggingFace(ChatModelIntegrationTests):
    """The default model, which has no structured outputs and no tools."""

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatHuggingFace

    @property
    def chat_model_params(self) -> dict[str, Any]:
        endpoint = HuggingFaceEndpoint(
            endpoint_url=f"{MODELS}/SmolLM2-135M-Instruct",
            huggingfacehub_api_token="unused",
            temperature=0.01,
            max_new_tokens=64,
            timeout=120,
        )
        return {"llm": endpoint, "stream_usage": True}

    @property
    def has_tool_calling(self) -> bool:
        return False

    @property
    def has_structured_output(self) -> bool:
        return False
