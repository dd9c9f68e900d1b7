"""CLIP's tokenizer over the few words of tiny pipelines."""

from __future__ import annotations

import json
from typing import Any

from tokenizers import Tokenizer, models, pre_tokenizers, trainers

MAX_TOKENS = 24


def clip_tokenizer(texts: list[str]) -> Any:
    """CLIP's tokenizer over a small vocabulary: the words of ``texts``, and all single bytes.

    Other words become their letters.
    """
    from transformers import CLIPTokenizer

    words = sorted({word for text in texts for word in text.lower().split()})
    plain = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    plain.pre_tokenizer = pre_tokenizers.Whitespace()
    trainer = trainers.BpeTrainer(
        vocab_size=4096, min_frequency=1, end_of_word_suffix="</w>", show_progress=False
    )
    plain.train_from_iterator(words, trainer)
    merges = [tuple(pair) for pair in json.loads(plain.to_str())["model"]["merges"]]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    names = [*alphabet, *(f"{each}</w>" for each in alphabet)]
    names += dict.fromkeys("".join(pair) for pair in merges)
    names += ["<|startoftext|>", "<|endoftext|>"]
    vocabulary = {name: index for index, name in enumerate(names)}
    clip: Any = CLIPTokenizer
    return clip(vocab=vocabulary, merges=merges, model_max_length=MAX_TOKENS)
