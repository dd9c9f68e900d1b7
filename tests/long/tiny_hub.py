"""A cache of the model hub with tiny models of random weights in the place of a profile's models.

Each has the architecture, the kind of tokenizer files, and the format of weights of the repository
that it stands for, in the folders that ``huggingface_hub`` keeps. So with ``HF_HUB_OFFLINE=1`` a
profile of the hub is served as it is.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from configs.profile import Profile
from configs.weights import HubSource
from tests.long import tiny_hub_images as images
from tests.long import tiny_hub_texts as texts

COMMIT = "0123456789abcdef0123456789abcdef01234567"

MODELS: dict[str, Callable[[Path], None]] = {
    "microsoft/DialoGPT-medium": texts.dialogues,
    "Qwen/Qwen2.5-0.5B-Instruct": texts.instructions,
    "HuggingFaceTB/SmolVLM-256M-Instruct": images.chats,
    "sentence-transformers/all-MiniLM-L6-v2": texts.vectors,
    "cardiffnlp/twitter-roberta-base-sentiment-latest": texts.sentiment,
    "cross-encoder/nli-deberta-v3-small": texts.entailment,
    "distilbert/distilbert-base-uncased": texts.masks,
    "cross-encoder/ms-marco-MiniLM-L12-v2": texts.relevance,
    "dslim/bert-base-NER": texts.names,
    "distilbert/distilbert-base-cased-distilled-squad": texts.spans,
    "sshleifer/distilbart-cnn-12-6": texts.summaries,
    "google-t5/t5-small": texts.translations,
    "google/vit-base-patch16-224": images.classes,
    "facebook/detr-resnet-50": images.boxes,
    "dandelin/vilt-b32-finetuned-vqa": images.questions,
    "openai/clip-vit-base-patch32": images.labels,
    "nvidia/segformer-b0-finetuned-ade-512-512": images.segments,
    "Salesforce/blip-image-captioning-base": images.captions,
    "SimianLuo/LCM_Dreamshaper_v7": images.consistency,
    "nota-ai/bk-sdm-tiny": images.diffusion,
    "openai/whisper-tiny": images.speech,
    "openai/whisper-small": images.speech,
}
"""What writes the files of each repository."""

PICKLED = {
    "microsoft/DialoGPT-medium",
    "cardiffnlp/twitter-roberta-base-sentiment-latest",
    "sshleifer/distilbart-cnn-12-6",
    "dandelin/vilt-b32-finetuned-vqa",
    "openai/clip-vit-base-patch32",
    "nvidia/segformer-b0-finetuned-ade-512-512",
}
"""Repositories without safetensors."""


def fill(hub_cache: Path, profile: Profile) -> None:
    """Put a model in the place of each of ``profile``'s, as if it had been downloaded."""
    for model in profile.models:
        assert isinstance(model.source, HubSource)
        source = model.source
        home = hub_cache / f"models--{source.hub.replace('/', '--')}"
        snapshot = home / "snapshots" / COMMIT
        snapshot.mkdir(parents=True)
        MODELS[source.hub](snapshot)
        if source.hub in PICKLED:
            _pickle(snapshot)
        reference = home / "refs" / (source.revision or "main")
        reference.parent.mkdir()
        reference.write_text(COMMIT)


def _pickle(folder: Path) -> None:
    """Weights as older repositories have them."""
    from safetensors.torch import load_file

    weights = folder / "model.safetensors"
    torch.save(load_file(weights), folder / "pytorch_model.bin")
    weights.unlink()


def edited(file: Path, **changes: Any) -> None:
    """Change keys of a JSON file; ``None`` removes one."""
    content = json.loads(file.read_text()) | changes
    kept = {name: value for name, value in content.items() if value is not None}
    file.write_text(json.dumps(kept))
