"""Requests with every honoured field, for each body of Hugging Face's APIs and servers."""

from __future__ import annotations

from serve_app.ingress.audio import SILENCE
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
from serve_app.ingress.routes.tei.predict import TeiPredictBody
from serve_app.ingress.routes.tei.rerank import TeiRerankBody
from serve_app.ingress.routes.tgi.generate import TgiBody
from serve_app.ingress.routes.transformers.body import SystemOneBody
from serve_app.ingress.routes.vision import RED_DOT
from serve_app.ingress.validation.fields import Body
from tests.serve_app.api_bodies_openai import CHATS, COMPLETIONS, EMBEDDINGS, RERANKS
from tests.serve_app.api_body_parts import SCHEMA, Bodies
from tests.serve_app.every_task import MODEL

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

HUGGING_FACE: dict[type[Body], Bodies] = {
    HubChatBody: CHATS,
    openai_routes.CompletionBelow: COMPLETIONS,
    openai_routes.EmbeddingsBelow: EMBEDDINGS,
    openai_routes.RerankBelow: RERANKS,
    TgiBody: [{"inputs": "Hi", "parameters": each} for each in PARAMETERS],
    TeiRerankBody: [
        {"query": "a", "texts": ["b", "c"], "raw_scores": True, "return_text": True, **RIGHT},
        {"query": "a", "texts": ["b", "c"], "top_n": 1, "truncate": True},
    ],
    TeiPredictBody: [
        {"inputs": [["a"]], "raw_scores": True, **RIGHT},
        {"inputs": ["a"], "truncate": True},
    ],
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
