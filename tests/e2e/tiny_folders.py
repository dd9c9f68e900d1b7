"""Folders of tiny models with random weights, as operators put them below one folder."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from configs.profile_file import load_profile
from configs.settings import Settings
from configs.weights import materialise

LLAMA, VECTORS, MOODS, NAMES = "tiny/llama", "tiny-vectors", "tiny-moods", "tiny-names"
PICTURES, SUMMARIES, GGUF, ENDINGS = "tiny-pictures", "tiny-summaries", "tiny-gguf", "tiny-endings"
SPEECH, SEEING = "tiny-speech", "tiny-seeing"


def make(folder: Path) -> None:
    """A model of each kind, below ``folder``."""
    import torch
    from transformers import (
        BertConfig,
        BertForMultipleChoice,
        BertForTokenClassification,
        LlamaConfig,
        LlamaForCausalLM,
        T5Config,
        T5ForConditionalGeneration,
        ViTConfig,
        ViTForImageClassification,
        ViTImageProcessor,
    )

    from tests.deployments import tiny
    from tests.deployments.speech.tiny_whisper import tiny_whisper
    from tests.deployments.tiny_vlm import vision_language

    torch.manual_seed(0)
    llama = LlamaConfig(
        **(tiny.SIZES | {"max_position_embeddings": 256, "vocab_size": 300, "eos_token_id": 3})
    )
    tiny.saved(folder / LLAMA, LlamaForCausalLM(llama))
    tiny.encoder(folder / VECTORS)
    tiny.classifier(folder / MOODS)
    labels = {"id2label": {0: "O", 1: "B-PER", 2: "I-PER"}}
    tiny.saved(folder / NAMES, BertForTokenClassification(BertConfig(**(tiny.SIZES | labels))))
    tiny.saved(folder / ENDINGS, BertForMultipleChoice(BertConfig(**tiny.SIZES)))
    t5 = T5Config(
        vocab_size=tiny.SIZES["vocab_size"],
        d_model=32,
        d_kv=8,
        d_ff=32,
        num_layers=2,
        num_heads=2,
        pad_token_id=1,
        eos_token_id=3,
    )
    writer = T5ForConditionalGeneration(t5)
    writer.generation_config.decoder_start_token_id = 1
    tiny.saved(folder / SUMMARIES, writer)
    vit = tiny.IMAGE_SIZES | {"image_size": tiny.SIDE, "patch_size": 8, "num_labels": 3}
    ViTForImageClassification(ViTConfig(**vit)).save_pretrained(folder / PICTURES)
    side = {"height": tiny.SIDE, "width": tiny.SIDE}
    ViTImageProcessor(size=side).save_pretrained(folder / PICTURES)
    tiny_whisper(folder / SPEECH)
    vision_language(folder / SEEING)
    _gguf(folder / GGUF)


def _gguf(folder: Path) -> None:
    """The file of the embedded profile's generator."""
    profile = load_profile("embedded")
    (source,) = [each.source for each in profile.models if each.name.endswith("Instruct")]
    cache = Settings().hf_cache_dir
    (file,) = materialise(source.model_copy(update={"convert": None}), cache).rglob("*.gguf")
    folder.mkdir()
    try:
        os.link(file.resolve(), folder / file.name)
    except OSError:
        shutil.copyfile(file, folder / file.name)
