"""LangChain's standard suite of chat models, with ``ChatOpenAI``."""

from __future__ import annotations

import os
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_openai import ChatOpenAI
from langchain_tests.integration_tests import ChatModelIntegrationTests

ROOT = f"{os.environ['PRSM_CLIENTS_URL']}/v1"


def params(model: str) -> dict[str, Any]:
    return {
        "model": model,
        "base_url": ROOT,
        "api_key": "unused",
        "temperature": 0,
        "max_tokens": 64,
        "max_retries": 0,
        "timeout": 120,
        "stream_usage": True,
    }


class TestTorch(ChatModelIntegrationTests):
    """The torch engine: structured outputs and tools."""

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatOpenAI

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return params("SmolLM2-135M-Instruct-torch")

    @property
    def model_override_value(self) -> str:
        return "SmolLM2-135M-Instruct"

    @property
    def supports_json_mode(self) -> bool:
        return True

    @property
    def structured_output_kwargs(self) -> dict[str, Any]:
        """Without a penalty the greedy texts of a small model repeat themselves for ever."""
        return {"extra_body": {"repetition_penalty": 1.15}}


class TestOpenVINO(ChatModelIntegrationTests):
    """The OpenVINO engine, which has no structured outputs and no tools."""

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatOpenAI

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return params("SmolLM2-135M-Instruct")

    @property
    def model_override_value(self) -> str:
        return "HuggingFaceTB/SmolLM2-135M-Instruct"

    @property
    def has_tool_calling(self) -> bool:
        return False

    @property
    def has_structured_output(self) -> bool:
        return False
