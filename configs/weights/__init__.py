"""Fetches the weights that a profile names, converts them, and caches the finished folders.

Callers need ``materialise``, and ``exported`` for encoders on OpenVINO. Nothing here imports torch,
transformers or huggingface_hub before there is something to fetch. Conversions run in a process of
their own.
"""

from configs.weights.cache import RECORD_FILE
from configs.weights.delivery import exported, find_cached, is_cached, is_exported, materialise
from configs.weights.errors import (
    ConversionFailedError,
    FolderNotFoundError,
    HubUnavailableError,
    NoSafeWeightsError,
    PathNotInSourceError,
    UnsafeWheelError,
    WeightsError,
    WheelHashError,
    WheelUnavailableError,
)
from configs.weights.exports import Export
from configs.weights.progress import Console, WeightsProgress, WeightsStep
from configs.weights.sources import (
    PROFILE_FOLDER,
    Conversion,
    FolderSource,
    HubSource,
    OnnxBert,
    PackageSource,
    SimpleConversion,
    WeightsSource,
    WheelSource,
    in_profile_folder,
)

__all__ = [
    "PROFILE_FOLDER",
    "RECORD_FILE",
    "Console",
    "Conversion",
    "ConversionFailedError",
    "Export",
    "FolderNotFoundError",
    "FolderSource",
    "HubSource",
    "HubUnavailableError",
    "NoSafeWeightsError",
    "OnnxBert",
    "PackageSource",
    "PathNotInSourceError",
    "SimpleConversion",
    "UnsafeWheelError",
    "WeightsError",
    "WeightsProgress",
    "WeightsSource",
    "WeightsStep",
    "WheelHashError",
    "WheelSource",
    "WheelUnavailableError",
    "exported",
    "find_cached",
    "in_profile_folder",
    "is_cached",
    "is_exported",
    "materialise",
]
