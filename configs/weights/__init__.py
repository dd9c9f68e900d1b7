"""Where weights come from, and how they become a folder that a model loads.

``materialise`` is all that a caller needs, and ``exported`` for encoders on OpenVINO. Nothing here
imports torch, transformers or huggingface_hub before there is something to fetch; conversions run
in a process of their own.
"""

from configs.weights.delivery import at_hand, exported, is_cached, is_exported, materialise
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
from configs.weights.shelf import RECORD
from configs.weights.sources import (
    BESIDE,
    Conversion,
    FolderSource,
    HubSource,
    OnnxBert,
    PackageSource,
    Plain,
    WeightsSource,
    WheelSource,
    beside,
)

__all__ = [
    "BESIDE",
    "RECORD",
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
    "Plain",
    "UnsafeWheelError",
    "WeightsError",
    "WeightsProgress",
    "WeightsSource",
    "WeightsStep",
    "WheelHashError",
    "WheelSource",
    "WheelUnavailableError",
    "at_hand",
    "beside",
    "exported",
    "is_cached",
    "is_exported",
    "materialise",
]
