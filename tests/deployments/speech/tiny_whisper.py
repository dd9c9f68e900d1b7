"""Whisper with random weights and a vocabulary of fifty words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers
from transformers import (
    GenerationConfig,
    PreTrainedTokenizerFast,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
)

WORDS = [f"w{number}" for number in range(50)]
LANGUAGES = ("en", "de", "fr")
TASKS = ("translate", "transcribe")
POSITIONS = 32
WINDOW_S = 3
"""Its windows are a tenth as long as those of real ones, and so are forwards."""
TIMES = [f"<|{step * 0.02:.2f}|>" for step in range(50 * WINDOW_S + 1)]


def _tokens(languages: tuple[str, ...]) -> list[str]:
    kinds = [*languages, *(TASKS if languages else ())]
    return [
        "<|endoftext|>",
        "<|startoftranscript|>",
        *(f"<|{each}|>" for each in kinds),
        "<|startofprev|>",
        "<|nospeech|>",
        "<|notimestamps|>",
        *TIMES,
    ]


def tiny_whisper(folder: Path, languages: tuple[str, ...] = LANGUAGES) -> Path:
    """A folder of a model of ``languages``; without any it knows English only."""
    torch.manual_seed(0)
    special = _tokens(languages)
    ids = {name: len(WORDS) + 1 + place for place, name in enumerate(special)}
    end = ids["<|endoftext|>"]
    config: Any = WhisperConfig
    model: Any = WhisperForConditionalGeneration(
        config(
            vocab_size=len(WORDS) + 1 + len(special),
            d_model=32,
            encoder_layers=1,
            decoder_layers=2,
            encoder_attention_heads=2,
            decoder_attention_heads=2,
            encoder_ffn_dim=32,
            decoder_ffn_dim=32,
            max_source_positions=50 * WINDOW_S,
            max_target_positions=POSITIONS,
            init_std=0.5,
            decoder_start_token_id=ids["<|startoftranscript|>"],
            bos_token_id=end,
            eos_token_id=end,
            pad_token_id=end,
        )
    )
    known: dict[str, Any] = {
        "decoder_start_token_id": ids["<|startoftranscript|>"],
        "eos_token_id": end,
        "pad_token_id": end,
        "no_timestamps_token_id": ids["<|notimestamps|>"],
        "is_multilingual": bool(languages),
        "max_initial_timestamp_index": 50,
        "max_length": POSITIONS,
        "return_timestamps": True,
    }
    if languages:
        known["lang_to_id"] = {f"<|{each}|>": ids[f"<|{each}|>"] for each in languages}
        known["task_to_id"] = {task: ids[f"<|{task}|>"] for task in TASKS}
    model.generation_config = GenerationConfig.from_dict(known)
    model.eval().save_pretrained(folder)
    extractor: Any = WhisperFeatureExtractor
    extractor(chunk_length=WINDOW_S).save_pretrained(folder)
    _tokenizer(special).save_pretrained(folder)
    return folder


def _tokenizer(special: list[str]) -> Any:
    vocabulary = {word: number for number, word in enumerate([*WORDS, "[UNK]"])}
    words = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    words.add_special_tokens([AddedToken(name, special=True) for name in special])
    fast: Any = PreTrainedTokenizerFast  # untyped
    return fast(tokenizer_object=words, eos_token="<|endoftext|>", pad_token="<|endoftext|>")
