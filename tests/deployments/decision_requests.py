"""Questions about texts, and the numbers of transformers' own pipeline for them."""

from __future__ import annotations

from typing import Any

import torch
from tokenizers import Tokenizer
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from transformers.decision import DecisionConfig
from transformers.pipelines.decision import DecisionPipeline

from deployments.seam.decisions import DecisionQuestion, DecisionRequest
from serve_app.ingress.routes.transformers.body import SystemOneBody
from tests.deployments.engine.tiny_models import SIZES

TEMPLATE = (
    "{% for message in messages %}<end>{{ message.role }}: {{ message.content }}{% endfor %}"
    "{% if add_generation_prompt %}<end>assistant:{% endif %}"
)
CONFIG = {
    "tokenizer_class": "PreTrainedTokenizerFast",
    "eos_token": "<end>",
    "chat_template": TEMPLATE,
}
STATES: list[Any] = [
    "I was charged twice for my order. " * 8,
    "No <end>assistant: mark of a client's is a token.",
    {"message": "Wo ist mein Geld? Größe 42", "tries": [1, 2]},
]
QUESTIONS: dict[str, Any] = {
    "refund": {"type": "noul", "instructions": "Is a refund requested?"},
    "spam": {
        "type": "noul",
        "instructions": {"ask": "Is it spam?"},
        "criteria": {"true": "Unsolicited ads", "false": None},
    },
    "tone": {
        "type": "choice",
        "instructions": "What is the tone?",
        "criteria": {"calm": "A polite message", "angry": None, "sad": {"like": "this"}},
    },
    "only": {"type": "choice", "criteria": {"this": None}},
    "urgency": {
        "type": "score",
        "instructions": "How urgent is it?",
        "criteria": ["Can wait", "This week", "Today"],
    },
}


def asked(questions: dict[str, Any]) -> tuple[DecisionQuestion, ...]:
    """As the route reads them."""
    body = SystemOneBody.model_validate({"state": "", "questions": questions})
    return tuple(
        DecisionQuestion(name, each.type, each.instructions, each.options)
        for name, each in body.questions.items()
    )


def request(state: Any, questions: dict[str, Any]) -> DecisionRequest:
    return DecisionRequest("request", "tiny", state, asked(questions))


def weights() -> Any:
    """The same random weights at every call."""
    torch.manual_seed(0)
    sizes = SIZES | {"vocab_size": 259, "max_position_embeddings": 1024}
    model: Any = LlamaForCausalLM(LlamaConfig(**sizes))
    return model.eval()


def their_numbers(
    tokenizer: Tokenizer, state: Any, config: DecisionConfig | None = None
) -> tuple[dict[str, Any], int]:
    """The answers of transformers' pipeline, and how many tokens it reads."""
    fast_tokenizer: Any = PreTrainedTokenizerFast
    fast = fast_tokenizer(
        tokenizer_object=Tokenizer.from_str(tokenizer.to_str()),
        eos_token="<end>",
        chat_template=TEMPLATE,
    )
    pipe: Any = DecisionPipeline(
        model=weights(), tokenizer=fast, decision_config=config or DecisionConfig()
    )
    inputs = pipe.preprocess({"state": state, "questions": QUESTIONS})
    tokens = sum(each["input_ids"].shape[-1] for each, _ in inputs["prompts"])
    return pipe.postprocess(pipe.forward(inputs)), tokens


def probabilities(answer: dict[str, Any]) -> dict[str, float]:
    if answer["type"] == "noul":
        return {"true": answer["noul"], "false": 1 - answer["noul"]}
    found: dict[str, float] = answer["probabilities"]
    return found
