"""Finds out what a model is, from its files: which family serves it, for which tasks.

Only JSON, the front matter of the README and the headers of weights are read, within bounds.
Nothing here imports torch, transformers or huggingface_hub before there is something to fetch.
"""

from configs.detection.detect import DetectedModel, detect
from configs.detection.errors import ModelNotThereError, ModelRefusedError
from configs.detection.inspection import Inspection, inspect_model
from configs.detection.kinds import ModelKind

__all__ = [
    "DetectedModel",
    "Inspection",
    "ModelKind",
    "ModelNotThereError",
    "ModelRefusedError",
    "detect",
    "inspect_model",
]
