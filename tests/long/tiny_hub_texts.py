"""Tiny models of texts with random weights, under the file names of the hub's repositories."""

from __future__ import annotations

import json
import string
from pathlib import Path
from typing import Any

import torch
from tokenizers import pre_tokenizers

SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 512,
    "initializer_range": 0.5,
}
DISTILBERT: dict[str, Any] = {
    "dim": 32,
    "n_layers": 2,
    "n_heads": 2,
    "hidden_dim": 32,
    "max_position_embeddings": 512,
    "initializer_range": 0.5,
}
END = "<|endoftext|>"
TEMPLATE = (
    "{% if tools %}tools: {{ tools | tojson }}\n{% endif %}"
    "{% for message in messages %}{{ message.role }}: {{ message.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)
MERGES = ("Y e", "Ye s", "N o", "Ġ Yes", "Ġ No")
"""The words of decisions are one token each, as in real vocabularies."""
TOKENS = 4000
"""The least size of a vocabulary: the documentation's examples have such token ids."""
SENTENCES = ("the quick brown fox jumps over the lazy dog", "pack my box with five dozen jugs")


def byte_pairs(folder: Path, *first: str, ends: bool = False) -> int:
    """The files of a byte-level tokenizer of hardly any merges; returns its number of tokens.

    ``first`` are its first tokens. ``ends``: each byte also has a token for the end of a word.
    """
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = [f"{letter}</w>" for letter in letters] if ends else []
    merged = [merge.replace(" ", "") for merge in MERGES]
    vocabulary = [*first, *letters, *words, *merged]
    vocabulary += [f"unused{index}" for index in range(TOKENS - len(vocabulary))]
    ids = {token: index for index, token in enumerate(vocabulary)}
    (folder / "vocab.json").write_text(json.dumps(ids))
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *MERGES, ""]))
    return len(vocabulary)


def word_pieces(folder: Path, **settings: Any) -> int:
    """The files of BERT's tokenizer, whose words are their letters."""
    letters = string.ascii_letters + string.digits + string.punctuation
    special = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
    vocabulary = [*special, *letters, *(f"##{letter}" for letter in letters)]
    (folder / "vocab.txt").write_text("\n".join(vocabulary))
    settings = {"do_lower_case": False, "model_max_length": 512} | settings
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return len(vocabulary)


def sentence_pieces(file: Path, **ids: int) -> int:
    """A SentencePiece model of a few sentences; ``ids`` are of its special tokens."""
    import sentencepiece

    trainer: Any = sentencepiece.SentencePieceTrainer
    trainer.train(
        sentence_iterator=iter(SENTENCES * 20),
        model_prefix=str(file.with_suffix("")),
        vocab_size=60,
        hard_vocab_limit=False,
        minloglevel=2,
        **ids,
    )
    made = file.with_suffix(".model")
    made.rename(file)
    file.with_suffix(".vocab").unlink()
    return int(sentencepiece.SentencePieceProcessor(model_file=str(file)).vocab_size())


def saved(folder: Path, model: Any) -> None:
    model.eval().save_pretrained(folder)


def labelled(*labels: str) -> dict[str, Any]:
    numbers = {label: index for index, label in enumerate(labels)}
    return {"id2label": dict(enumerate(labels)), "label2id": numbers}


def dialogues(folder: Path) -> None:
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    size = byte_pairs(folder, END)
    config = GPT2Config(
        vocab_size=size,
        n_embd=32,
        n_layer=2,
        n_head=2,
        n_positions=1024,
        bos_token_id=0,
        eos_token_id=0,
    )
    saved(folder, GPT2LMHeadModel(config))
    template = "{% for message in messages %}{{ message.content }}{{ eos_token }}{% endfor %}"
    settings = {"model_max_length": 1024, "chat_template": template}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


def instructions(folder: Path) -> None:
    from transformers import Qwen2Config, Qwen2ForCausalLM

    torch.manual_seed(0)
    size = byte_pairs(folder, END, "<|im_start|>", "<|im_end|>")
    sizes = {**SIZES, "max_position_embeddings": 8192, "initializer_range": 0.02}
    config: Any = Qwen2Config(
        **sizes, vocab_size=size, num_key_value_heads=1, eos_token_id=2, bos_token_id=0
    )
    saved(folder, Qwen2ForCausalLM(config))
    settings = {
        "tokenizer_class": "Qwen2Tokenizer",
        "eos_token": "<|im_end|>",
        "pad_token": END,
        "chat_template": TEMPLATE,
        "model_max_length": 8192,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


def vectors(folder: Path) -> None:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules.normalize import Normalize
    from sentence_transformers.base.modules.transformer import Transformer
    from sentence_transformers.sentence_transformer.modules.pooling import Pooling
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    bert = folder.with_name("bert")
    bert.mkdir()
    saved(bert, BertModel(BertConfig(**SIZES, vocab_size=word_pieces(bert))))
    modules = [Transformer(str(bert)), Pooling(SIZES["hidden_size"]), Normalize()]
    SentenceTransformer(modules=modules, device="cpu").save(str(folder))


def sentiment(folder: Path) -> None:
    from transformers import RobertaConfig, RobertaForSequenceClassification

    torch.manual_seed(0)
    size = byte_pairs(folder, "<s>", "<pad>", "</s>", "<unk>", "<mask>")
    sizes = {**SIZES, "max_position_embeddings": 514}
    labels = labelled("negative", "neutral", "positive")
    config = RobertaConfig(**sizes, **labels, vocab_size=size, type_vocab_size=1)
    saved(folder, RobertaForSequenceClassification(config))


def entailment(folder: Path) -> None:
    from transformers import DebertaV2Config, DebertaV2ForSequenceClassification

    torch.manual_seed(0)
    pieces = sentence_pieces(folder / "spm.model", pad_id=0, bos_id=1, eos_id=2, unk_id=3)
    settings = {"tokenizer_class": "DebertaV2Tokenizer", "model_max_length": 512}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    config_class: Any = DebertaV2Config
    config = config_class(
        **SIZES,
        **labelled("contradiction", "entailment", "neutral"),
        vocab_size=pieces + 40,
        relative_attention=True,
        position_buckets=32,
        norm_rel_ebd="layer_norm",
        share_att_key=True,
        pos_att_type=["p2c", "c2p"],
        position_biased_input=False,
        type_vocab_size=0,
        pooler_hidden_size=32,
        max_relative_positions=-1,
    )
    saved(folder, DebertaV2ForSequenceClassification(config))


def masks(folder: Path) -> None:
    from transformers import DistilBertConfig, DistilBertForMaskedLM

    torch.manual_seed(0)
    config = DistilBertConfig(**DISTILBERT, vocab_size=word_pieces(folder, do_lower_case=True))
    saved(folder, DistilBertForMaskedLM(config))


def relevance(folder: Path) -> None:
    from transformers import BertConfig, BertForSequenceClassification

    torch.manual_seed(0)
    config = BertConfig(**SIZES, **labelled("relevance"), vocab_size=word_pieces(folder))
    saved(folder, BertForSequenceClassification(config))


def names(folder: Path) -> None:
    from transformers import BertConfig, BertForTokenClassification

    torch.manual_seed(0)
    kinds = [f"{place}-{kind}" for kind in ("MISC", "PER", "ORG", "LOC") for place in "BI"]
    config = BertConfig(**SIZES, **labelled("O", *kinds), vocab_size=word_pieces(folder))
    saved(folder, BertForTokenClassification(config))


def spans(folder: Path) -> None:
    from transformers import DistilBertConfig, DistilBertForQuestionAnswering

    torch.manual_seed(0)
    config = DistilBertConfig(**DISTILBERT, vocab_size=word_pieces(folder))
    saved(folder, DistilBertForQuestionAnswering(config))


def summaries(folder: Path) -> None:
    from transformers import BartConfig, BartForConditionalGeneration

    torch.manual_seed(0)
    size = byte_pairs(folder, "<s>", "<pad>", "</s>", "<unk>", "<mask>")
    layers: dict[str, Any] = {
        f"{side}_{what}": count
        for side in ("encoder", "decoder")
        for what, count in (("layers", 1), ("attention_heads", 2), ("ffn_dim", 32))
    }
    config = BartConfig(vocab_size=size, d_model=32, max_position_embeddings=1024, **layers)
    model: Any = BartForConditionalGeneration(config)
    model.generation_config.update(num_beams=4, max_length=142, min_length=56)
    saved(folder, model)


def translations(folder: Path) -> None:
    from transformers import T5Config, T5ForConditionalGeneration

    torch.manual_seed(0)
    pieces = sentence_pieces(folder / "spiece.model", pad_id=0, eos_id=1, unk_id=2, bos_id=-1)
    settings = {"tokenizer_class": "T5Tokenizer", "extra_ids": 100, "model_max_length": 512}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    told = {
        "summarization": {"prefix": "summarize: "},
        "translation_en_to_de": {"prefix": "translate English to German: "},
        "translation_en_to_fr": {"prefix": "translate English to French: "},
    }
    config_class: Any = T5Config
    config = config_class(
        vocab_size=pieces + 120,
        d_model=32,
        d_kv=8,
        d_ff=32,
        num_layers=1,
        num_heads=2,
        decoder_start_token_id=0,
        task_specific_params=told,
    )
    saved(folder, T5ForConditionalGeneration(config))
