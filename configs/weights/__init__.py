"""Fetches the weights that a profile names, converts them, and caches the finished folders.

Callers need ``materialise``, and for models on OpenVINO ``exported`` (encoders) or
``fastest_dtype`` (text generators). Nothing here imports torch,
transformers or huggingface_hub before there is something to fetch. Conversions run in a process of
their own.
"""

from configs.weights.cache import RECORD_FILE
from configs.weights.delivery import find_cached, is_cached, materialise
from configs.weights.dtypes import DtypeChoice, DtypeFigures
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
from configs.weights.per_processor import exported, fastest_dtype, is_dtype_known, is_exported
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
from configs.weights.weight_files import (
    PIPELINE_INDEX,
    WeightFormat,
    min_weight_bytes,
    weight_bytes,
)

__all__ = [
    "PIPELINE_INDEX",
    "PROFILE_FOLDER",
    "RECORD_FILE",
    "Console",
    "Conversion",
    "ConversionFailedError",
    "DtypeChoice",
    "DtypeFigures",
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
    "WeightFormat",
    "WeightsError",
    "WeightsProgress",
    "WeightsSource",
    "WeightsStep",
    "WheelHashError",
    "WheelSource",
    "WheelUnavailableError",
    "exported",
    "fastest_dtype",
    "find_cached",
    "in_profile_folder",
    "is_cached",
    "is_dtype_known",
    "is_exported",
    "materialise",
    "min_weight_bytes",
    "weight_bytes",
]
