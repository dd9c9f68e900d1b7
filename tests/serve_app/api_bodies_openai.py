"""Requests with every honoured field, for each body of OpenAI's API."""

from __future__ import annotations

from serve_app.ingress.audio import SILENCE
from serve_app.ingress.routes.openai.audio.body import AudioTranscriptionBody, AudioTranslationBody
from serve_app.ingress.routes.openai.chat import ChatBody
from serve_app.ingress.routes.openai.completions import CompletionBody
from serve_app.ingress.routes.openai.embeddings import OpenAIEmbeddingsBody
from serve_app.ingress.routes.openai.images import OpenAIImagesBody
from serve_app.ingress.routes.openai.rerank import OpenAIRerankBody
from serve_app.ingress.routes.openai.responses.body import ResponsesBody
from serve_app.ingress.routes.vision import RED_DOT
from serve_app.ingress.validation.fields import Body
from tests.serve_app.api_body_parts import ARGUMENTS, CHAT, FUNCTION, HI, SCHEMA, SEEN, TOOL, Bodies
from tests.serve_app.every_task import MODEL

SAMPLING = {
    "max_tokens": 5,
    "temperature": 0.5,
    "top_p": 0.9,
    "top_k": 5,
    "min_p": 0.1,
    "repetition_penalty": 1.1,
    "frequency_penalty": 0.1,
    "presence_penalty": 0.1,
    "logit_bias": {"1": 1},
    "n": 2,
    "stop": ["x"],
    "min_tokens": 1,
    "ignore_eos": True,
    "truncate_prompt_tokens": -1,
    "seed": 7,
}
STREAMED = {
    "stream": True,
    "stream_options": {"include_usage": True, "continuous_usage_stats": True},
}
GUIDED: Bodies = [
    {"structured_outputs": {"json": SCHEMA}},
    {"structured_outputs": {"regex": "a"}},
    {"structured_outputs": {"choice": ["a"]}},
    {"structured_outputs": {"json_object": True}},
    {"guided_json": SCHEMA},
    {"guided_regex": "a"},
    {"guided_choice": ["a"]},
]
FORMAT = {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}}
NAMED = {"type": "function", "function": {"name": "f"}}
CHATS: Bodies = [
    {
        "messages": CHAT,
        "model": MODEL,
        **SAMPLING,
        **STREAMED,
        "logprobs": True,
        "top_logprobs": 2,
        "response_format": FORMAT,
        "chat_template_kwargs": {"enable_thinking": False},
    },
    {
        "messages": HI,
        "model": MODEL,
        "max_completion_tokens": 5,
        "tools": [TOOL],
        "tool_choice": NAMED,
        "parallel_tool_calls": False,
    },
    {"messages": HI, "logprobs": True},
    {"messages": SEEN, "model": MODEL},
    {"messages": HI, "stream": True},
    {"messages": HI, "tools": [TOOL]},
    {"messages": HI, "response_format": {"type": "json_object"}},
    *({"messages": HI, "model": MODEL, **guided} for guided in GUIDED),
]
COMPLETIONS: Bodies = [
    {"prompt": "Hi", "model": MODEL, **SAMPLING, **STREAMED, "logprobs": 1},
    {"prompt": ["Hi"], "model": MODEL, "logprobs": 1, "echo": True, "max_tokens": 0},
    {"prompt": "Hi", "echo": True},
    {"prompt": "Hi", "stream": True},
    *({"prompt": "Hi", "model": MODEL, **guided} for guided in GUIDED),
]
EMBEDDINGS: Bodies = [
    {
        "input": ["a"],
        "model": MODEL,
        "encoding_format": "base64",
        "dimensions": 1,
        "truncate": True,
    },
    {"input": "a", "truncate_prompt_tokens": -1},
]
RERANKS: Bodies = [
    {
        "query": "a",
        "documents": ["b", {"text": "c"}],
        "model": MODEL,
        "top_n": 1,
        "return_documents": True,
        "truncate": True,
    },
    {"query": "a", "documents": ["b"], "truncate_prompt_tokens": -1},
]
RESPONSES: Bodies = [
    {
        "input": [
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]},
            {"type": "reasoning"},
            {"type": "function_call", "call_id": "1", "name": "f", "arguments": ARGUMENTS},
            {
                "type": "function_call_output",
                "call_id": "1",
                "output": [{"type": "input_text", "text": "done"}],
            },
        ],
        "model": MODEL,
        "instructions": "Be short.",
        "max_output_tokens": 5,
        "temperature": 0.5,
        "top_p": 0.9,
        "top_logprobs": 2,
        "tools": [{"type": "function", **FUNCTION}],
        "tool_choice": {"type": "function", "name": "f"},
        "parallel_tool_calls": False,
        "truncation": "auto",
        "include": ["message.output_text.logprobs"],
        "stream": True,
        "stream_options": {},
    },
    {
        "input": "Hi",
        "text": {"format": {"type": "json_schema", "schema": SCHEMA}},
    },
    {"input": "Hi", "include": ["message.output_text.logprobs"]},
    {"input": "Hi", "stream": True, "ignore_eos": True},
    {
        "input": [
            {
                "type": "message",
                "role": "user",
                "content": [{"type": "input_image", "image_url": RED_DOT, "detail": "low"}],
            }
        ]
    },
    {"input": "Hi", "tools": [{"type": "function", **FUNCTION}]},
]

OPENAI: dict[type[Body], Bodies] = {
    ChatBody: CHATS,
    CompletionBody: COMPLETIONS,
    OpenAIEmbeddingsBody: EMBEDDINGS,
    OpenAIRerankBody: RERANKS,
    ResponsesBody: RESPONSES,
    AudioTranscriptionBody: [
        {
            "file": SILENCE,
            "model": MODEL,
            "prompt": "Hi",
            "language": "de",
            "response_format": "text",
        },
        {
            "file": SILENCE,
            "response_format": "verbose_json",
            "timestamp_granularities[]": ["segment"],
        },
    ],
    AudioTranslationBody: [
        {"file": SILENCE, "model": MODEL, "prompt": "Hi", "response_format": "text"}
    ],
    OpenAIImagesBody: [
        {
            "prompt": "a",
            "model": MODEL,
            "n": 2,
            "size": "64x32",
            "seed": 7,
            "negative_prompt": "b",
            "num_inference_steps": 5,
            "guidance_scale": 2.5,
        },
    ],
}
