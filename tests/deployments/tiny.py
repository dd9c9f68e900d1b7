"""Models with random weights and a vocabulary of fifty words, made in a moment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    BertModel,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaForSequenceClassification,
)

POSITIONS = 16
SPECIAL = ("[UNK]", "[PAD]", "[CLS]", "[SEP]")
WORDS = [f"w{number}" for number in range(50)]
SIZES: dict[str, Any] = {
    "vocab_size": len(SPECIAL) + len(WORDS),
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": POSITIONS,
    "pad_token_id": 1,
    # Wide weights, so that different texts have clearly different answers.
    "initializer_range": 0.5,
}
SIDE = 32
"""Width and height, in pixels, of the images that image models read."""
IMAGE_SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "initializer_range": 0.5,
}


def text(*numbers: int) -> str:
    """A text of these words; it has two tokens more, one at each end."""
    return " ".join(WORDS[number] for number in numbers)


def tokenizer() -> Any:
    vocabulary = {word: number for number, word in enumerate([*SPECIAL, *WORDS])}
    words = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    fast: Any = PreTrainedTokenizerFast  # untyped
    return fast(
        tokenizer_object=words,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        model_max_length=1000,
    )


def saved(folder: Path, model: Any) -> Path:
    model.save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder


def encoder(folder: Path) -> Path:
    """A sentence-transformers folder: BERT, the mean over tokens, vectors scaled to length 1."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules.normalize import Normalize
    from sentence_transformers.base.modules.transformer import Transformer
    from sentence_transformers.sentence_transformer.modules.pooling import Pooling

    torch.manual_seed(0)
    bert = saved(folder.with_name(f"{folder.name}-bert"), BertModel(BertConfig(**SIZES)))
    modules = [Transformer(str(bert)), Pooling(SIZES["hidden_size"]), Normalize()]
    SentenceTransformer(modules=modules, device="cpu").save(str(folder))
    return folder


def sentences(folder: Path, *modules: Any, **settings: Any) -> Path:
    """A sentence-transformers folder: BERT, then ``modules``; ``settings`` are the model's own."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules.transformer import Transformer

    torch.manual_seed(0)
    bert = saved(folder.with_name(f"{folder.name}-bert"), BertModel(BertConfig(**SIZES)))
    made = SentenceTransformer(modules=[Transformer(str(bert)), *modules], device="cpu", **settings)
    made.save(str(folder))
    return folder


def classifier(folder: Path, **config: Any) -> Path:
    """BERT with the labels glad, sad and mad."""
    torch.manual_seed(0)
    labels: dict[str, Any] = {"id2label": {0: "glad", 1: "sad", 2: "mad"}}
    return saved(folder, BertForSequenceClassification(BertConfig(**(SIZES | labels | config))))


def roberta(folder: Path, **config: Any) -> Path:
    """RoBERTa, whose positions start behind its padding id: two of the sixteen are never used."""
    torch.manual_seed(0)
    sizes = RobertaConfig(**(SIZES | {"num_labels": 3} | config))
    return saved(folder, RobertaForSequenceClassification(sizes))
