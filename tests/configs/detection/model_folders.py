"""Folders of models to look into, and what is found in them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from configs.detection import DetectedModel, Inspection, inspect_model
from configs.weights import FolderSource

EMPTY = (2).to_bytes(8, "little") + b"{}"


def folder(root: Path, config: dict[str, Any] | None = None, **files: Any) -> Path:
    """A folder with a tokenizer, a preprocessor and weights, unless ``files`` say otherwise."""
    made = root / "models" / "model"
    made.mkdir(parents=True)
    contents: dict[str, Any] = {
        "tokenizer.json": {},
        "preprocessor_config.json": {},
        "model.safetensors": EMPTY,
    }
    if config is not None:
        contents["config.json"] = config
    contents |= {name.replace("__", "."): content for name, content in files.items()}
    for name, content in contents.items():
        if isinstance(content, bytes):
            (made / name).write_bytes(content)
        elif content is not None:
            (made / name).write_text(content if isinstance(content, str) else json.dumps(content))
    return made


def inspected(made: Path, **options: Any) -> DetectedModel:
    source = FolderSource(folder=made, allow_bin=options.pop("allow_bin", False))
    limits = {"max_gb": 1.0} | options
    return inspect_model(Inspection(source, made.parent, **limits), made.parent)


def kind(architecture: str, **config: Any) -> dict[str, Any]:
    return {"architectures": [architecture], **config}
