"""For each body of other servers' APIs, requests that have every field that is honoured."""

from __future__ import annotations

from typing import Any

from serve_app.ingress.audio import SILENCE
from serve_app.ingress.routes.anthropic.body import CountTokensBody, MessagesBody
from serve_app.ingress.routes.cohere.embed import CohereEmbedBody
from serve_app.ingress.routes.cohere.rerank import CohereRerankBody
from serve_app.ingress.routes.huggingface import (
    classification,
    embeddings,
    entities,
    fill_mask,
    generation,
    image_generation,
    images,
    openai_routes,
    question_answering,
    summarization,
    translation,
)
from serve_app.ingress.routes.huggingface.chat import HubChatBody
from serve_app.ingress.routes.huggingface.transcription import HubSpeechBody
from serve_app.ingress.routes.openai.audio.body import (
    AudioTranscriptionBody,
    AudioTranslationBody,
)
from serve_app.ingress.routes.openai.chat import ChatBody
from serve_app.ingress.routes.openai.completions import CompletionBody
from serve_app.ingress.routes.openai.embeddings import OpenAIEmbeddingsBody
from serve_app.ingress.routes.openai.images import OpenAIImagesBody
from serve_app.ingress.routes.openai.rerank import OpenAIRerankBody
from serve_app.ingress.routes.openai.responses.body import ResponsesBody
from serve_app.ingress.routes.tei.predict import TeiPredictBody
from serve_app.ingress.routes.tei.rerank import TeiRerankBody
from serve_app.ingress.routes.tgi.generate import TgiBody
from serve_app.ingress.routes.transformers.body import SystemOneBody
from serve_app.ingress.routes.vision import RED_DOT
from serve_app.ingress.routes.vllm.classify import VllmClassifyBody
from serve_app.ingress.routes.vllm.pooling import PoolingBody
from serve_app.ingress.routes.vllm.score import ScoreBody
from serve_app.ingress.routes.vllm.tokenize import (
    DetokenizeBody,
    TokenizeChatBody,
    TokenizePromptBody,
)
from serve_app.ingress.validation.fields import Body
from tests.serve_app.every_task import MODEL

Bodies = list[dict[str, Any]]

HI = [{"role": "user", "content": "Hi"}]
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}
FUNCTION = {"name": "f", "description": "d", "parameters": SCHEMA, "strict": True}
TOOL = {"type": "function", "function": FUNCTION}
ARGUMENTS = '{"a": "x"}'
CALL = {"id": "1", "type": "function", "function": {"name": "f", "arguments": ARGUMENTS}}
CHAT = [
    {"role": "system", "content": [{"type": "text", "text": "Be short."}]},
    {"role": "user", "content": "Hi", "name": "ada"},
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "content": "done", "tool_call_id": "1"},
]
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
LOOK = {"type": "image_url", "image_url": {"url": RED_DOT, "detail": "low"}}
SEEN = [{"role": "user", "content": [{"type": "text", "text": "Hi"}, LOOK]}]
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
PICTURE = {
    "type": "image",
    "source": {
        "type": "base64",
        "media_type": "image/png",
        "data": RED_DOT.partition(",")[2],
    },
}
PROMPTED: dict[str, Any] = {
    "messages": [
        {"role": "user", "content": [{"type": "text", "text": "Hi"}]},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking"},
                {"type": "text", "text": "a"},
                {"type": "tool_use", "id": "1", "name": "f", "input": {"a": "b"}},
            ],
        },
        {
            "role": "user",
            "content": [
                {
                    "type": "tool_result",
                    "tool_use_id": "1",
                    "content": [{"type": "text", "text": "done"}],
                }
            ],
        },
    ],
    "model": MODEL,
    "system": [{"type": "text", "text": "Be short."}],
    "tools": [{"name": "f", "description": "d", "input_schema": SCHEMA, "strict": True}],
    "tool_choice": {"type": "tool", "name": "f", "disable_parallel_tool_use": True},
}
FORMATTED = {
    "messages": HI,
    "output_config": {"format": {"type": "json_schema", "schema": SCHEMA}},
    "thinking": {"type": "disabled"},
}
LINKED = {"type": "image", "source": {"type": "url", "url": RED_DOT}}
PICTURED = {"messages": [{"role": "user", "content": [PICTURE, LINKED]}]}
OFFERED = {"messages": HI, "tools": PROMPTED["tools"], "tool_choice": {"type": "auto"}}
MESSAGES: Bodies = [
    {
        **PROMPTED,
        "max_tokens": 5,
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 5,
        "stop_sequences": ["x"],
        "stream": True,
    },
    {**FORMATTED, "max_tokens": 5},
    {**OFFERED, "max_tokens": 5},
    {**PICTURED, "max_tokens": 5},
]
PARAMETERS: Bodies = [
    {
        "best_of": 2,
        "details": True,
        "do_sample": True,
        "frequency_penalty": 0.1,
        "grammar": {"type": "json", "value": SCHEMA},
        "max_new_tokens": 5,
        "repetition_penalty": 1.1,
        "return_full_text": True,
        "seed": 7,
        "stop": ["x"],
        "temperature": 0.5,
        "top_k": 5,
        "top_n_tokens": 2,
        "top_p": 0.9,
        "truncate": 5,
        "typical_p": 0.9,
    },
    {"stop_sequences": ["x"]},
    {"do_sample": True},
    {"grammar": {"type": "regex", "value": '{"type": "string"}'}},
]
RIGHT = {"truncation_direction": "Right"}
BOUNDS: Bodies = [
    {"max_length": 60, "min_length": 5},
    {"max_new_tokens": 60, "min_new_tokens": 5},
]
TEXT2TEXT: Bodies = [
    {"generate_parameters": {"max_length": 5}, "truncation": "longest_first"},
    {"generate_parameters": {"max_new_tokens": 5}},
    {"max_length": 5},
    {"max_new_tokens": 5},
]
LANGUAGES = {"src_lang": "en", "tgt_lang": "de"}
FULL: dict[type[Body], Bodies] = {
    ChatBody: CHATS,
    HubChatBody: CHATS,
    CompletionBody: COMPLETIONS,
    openai_routes.CompletionBelow: COMPLETIONS,
    OpenAIEmbeddingsBody: EMBEDDINGS,
    openai_routes.EmbeddingsBelow: EMBEDDINGS,
    OpenAIRerankBody: RERANKS,
    openai_routes.RerankBelow: RERANKS,
    ResponsesBody: RESPONSES,
    MessagesBody: MESSAGES,
    CountTokensBody: [PROMPTED, FORMATTED, OFFERED, PICTURED],
    TgiBody: [{"inputs": "Hi", "parameters": each} for each in PARAMETERS],
    CohereRerankBody: [
        {
            "query": "a",
            "documents": ["b", {"text": "c"}],
            "model": MODEL,
            "top_n": 1,
            "return_documents": True,
            "max_tokens_per_doc": 9,
        }
    ],
    CohereEmbedBody: [
        {
            "texts": ["a"],
            "model": MODEL,
            "input_type": "search_query",
            "embedding_types": ["ubinary"],
            "truncate": "NONE",
            "output_dimension": 1,
        }
    ],
    TeiRerankBody: [
        {"query": "a", "texts": ["b", "c"], "raw_scores": True, "return_text": True, **RIGHT},
        {"query": "a", "texts": ["b", "c"], "top_n": 1, "truncate": True},
    ],
    TeiPredictBody: [
        {"inputs": [["a"]], "raw_scores": True, **RIGHT},
        {"inputs": ["a"], "truncate": True},
    ],
    ScoreBody: [{"text_1": "a", "text_2": ["b"], "model": MODEL, "truncate_prompt_tokens": -1}],
    VllmClassifyBody: [
        {"input": "a", "model": MODEL, "use_activation": False, "truncate_prompt_tokens": -1}
    ],
    PoolingBody: [
        {
            "input": ["a"],
            "model": MODEL,
            "encoding_format": "base64",
            "dimensions": 1,
            "use_activation": False,
            "truncate_prompt_tokens": -1,
        }
    ],
    TokenizePromptBody: [
        {"prompt": "Hi", "model": MODEL, "add_special_tokens": False, "return_token_strs": True}
    ],
    TokenizeChatBody: [
        {"messages": CHAT, "model": MODEL, "tools": [TOOL], "return_token_strs": True},
        {"messages": SEEN, "model": MODEL},
    ],
    DetokenizeBody: [{"tokens": [1], "model": MODEL}],
    SystemOneBody: [
        {
            "state": {"message": "Hi"},
            "questions": {
                "a": {"type": "choice", "instructions": "b", "criteria": {"c": None, "d": "e"}},
                "f": {"type": "score", "instructions": ["g"], "criteria": ["h", {"i": "j"}]},
                "k": {
                    "type": "noul",
                    "instructions": "l",
                    "criteria": {"true": "m", "false": "n"},
                },
            },
            "model": MODEL,
        }
    ],
    generation.HubGenerateBody: [
        *({"inputs": "Hi", "parameters": each} for each in PARAMETERS),
        {"inputs": "Hi", "stream": True},
    ],
    embeddings.FeatureBody: [
        {
            "inputs": ["a"],
            "normalize": False,
            "prompt_name": "query",
            "truncate": True,
            "dimensions": 1,
        }
    ],
    embeddings.HubSimilarityBody: [{"inputs": {"source_sentence": "a", "sentences": ["b"]}}],
    classification.ClassificationBody: [
        {"inputs": "a", "parameters": {"function_to_apply": "none", "top_k": 1}}
    ],
    classification.ZeroShotBody: [
        {
            "inputs": "a",
            "parameters": {
                "candidate_labels": ["x", "y"],
                "multi_label": True,
                "hypothesis_template": "It is {}.",
            },
        }
    ],
    entities.EntityBody: [
        {
            "inputs": "a",
            "parameters": {"aggregation_strategy": "max", "ignore_labels": ["NAME"]},
        }
    ],
    fill_mask.HubFillMaskBody: [{"inputs": "a", "parameters": {"targets": ["b"], "top_k": 1}}],
    question_answering.HubQuestionAnsweringBody: [
        {
            "inputs": {"question": "a", "context": "b"},
            "parameters": {
                "align_to_words": False,
                "handle_impossible_answer": True,
                "max_answer_len": 5,
                "top_k": 2,
            },
        }
    ],
    summarization.SummaryBody: [
        *({"inputs": "a", "parameters": {"generate_parameters": each}} for each in BOUNDS),
        *({"inputs": "a", "parameters": {**each, "truncation": "only_first"}} for each in BOUNDS),
    ],
    translation.TranslationBody: [
        {"inputs": "a", "parameters": {**LANGUAGES, **each}} for each in TEXT2TEXT
    ],
    translation.HubText2TextBody: [{"inputs": "a", "parameters": each} for each in TEXT2TEXT],
    images.ImageClassificationBody: [
        {"inputs": RED_DOT, "parameters": {"function_to_apply": "none", "top_k": 1}}
    ],
    images.ImageLabelsBody: [
        {
            "inputs": RED_DOT,
            "parameters": {"candidate_labels": ["x"], "hypothesis_template": "a {}"},
        }
    ],
    images.DetectionBody: [{"inputs": RED_DOT, "parameters": {"threshold": 0.9}}],
    images.SegmentationBody: [
        {
            "inputs": RED_DOT,
            "parameters": {
                "subtask": "panoptic",
                "threshold": 0.8,
                "mask_threshold": 0.4,
                "overlap_mask_area_threshold": 0.6,
            },
        }
    ],
    images.ImageToTextBody: [
        {"inputs": RED_DOT, "parameters": {"max_new_tokens": 5}},
        {"inputs": RED_DOT, "parameters": {"generation_parameters": {"max_new_tokens": 5}}},
    ],
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
    image_generation.TextToImageBody: [
        {
            "inputs": "a",
            "parameters": {
                "negative_prompt": "b",
                "height": 32,
                "width": 64,
                "num_inference_steps": 5,
                "guidance_scale": 2.5,
                "seed": 7,
            },
        }
    ],
    HubSpeechBody: [
        {
            "inputs": SILENCE,
            "parameters": {
                "return_timestamps": True,
                "generation_parameters": {"language": "de", "task": "translate"},
            },
        }
    ],
    images.HubQuestionBody: [{"inputs": RED_DOT, "question": "What?", "parameters": {"top_k": 1}}],
}
