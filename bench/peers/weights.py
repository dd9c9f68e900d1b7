"""Finds the embedded profile's weights, which every side of a comparison reads."""

from __future__ import annotations

from pathlib import Path

from configs.profile import ModelSpec, load_settings
from configs.profile_file import load_profile
from configs.settings import Settings
from configs.weights import fastest_dtype, materialise

CHAT = "HuggingFaceTB/SmolLM2-135M-Instruct"
CHAT_FLOAT32 = "HuggingFaceTB/SmolLM2-135M-Instruct-torch"
VECTORS = "sentence-transformers/all-MiniLM-L6-v2"


def folder_of(name: str) -> Path:
    """The folder of a model's weights, fetched and converted if they are not here yet."""
    model, settings = _model(name)
    return materialise(model.source, settings.hf_cache_dir, token=settings.token).resolve()


def dtype_of(name: str) -> str:
    """What a text generator on OpenVINO computes in here, measured if that is not on record."""
    model, settings = _model(name)
    return fastest_dtype(model.source, settings.hf_cache_dir, token=settings.token).dtype


def _model(name: str) -> tuple[ModelSpec, Settings]:
    profile = load_profile("embedded")
    model = next(model for model in profile.models if model.name == name)
    return model, load_settings(profile)
