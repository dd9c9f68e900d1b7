"""Finds the embedded profile's weights, which every side of a comparison reads."""

from __future__ import annotations

from pathlib import Path

from configs.profile import load_settings
from configs.profile_file import load_profile
from configs.weights import materialise

CHAT = "HuggingFaceTB/SmolLM2-135M-Instruct"
CHAT_FLOAT32 = "HuggingFaceTB/SmolLM2-135M-Instruct-torch"
VECTORS = "sentence-transformers/all-MiniLM-L6-v2"


def folder_of(name: str) -> Path:
    """The folder of a model's weights, fetched and converted if they are not here yet."""
    profile = load_profile("embedded")
    settings = load_settings(profile)
    model = next(model for model in profile.models if model.name == name)
    return materialise(model.source, settings.hf_cache_dir, token=settings.token).resolve()
