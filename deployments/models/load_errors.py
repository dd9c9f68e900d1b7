"""Turns exceptions of loading into reasons for a client, which name no paths."""

from __future__ import annotations

from collections.abc import Iterator

from configs.weights import (
    ConversionFailedError,
    HubUnavailableError,
    NoSafeWeightsError,
    WeightsError,
)


class UnsupportedError(ValueError):
    """A checkpoint needs something that is not supported; the message names it to clients."""


NOT_ENOUGH_MEMORY = "there is not enough memory for it"

PHRASES = {
    "its code is not trusted here": ("trust_remote_code",),
    NOT_ENOUGH_MEMORY: (
        "out of memory",
        "can't allocate memory",
        "cannot allocate memory",
        "bad_alloc",
    ),
    "it has no safetensors weights": (
        "safetensors_rust",
        "no file named model.safetensors",
        "no file named diffusion_pytorch_model.safetensors",
    ),
    "it decodes images in a way of its own": ("it decodes images otherwise than generate",),
    "its chat template shows no images": ("its chat template shows no images",),
    "its architecture is not known here": (
        "does not recognize this architecture",
        "unrecognized configuration class",
        "unrecognized model",
        "unsupported model architecture",
        "should have a `model_type` key",
    ),
}
"""Reasons by texts that libraries put into exceptions of general types."""


def reason_of(error: BaseException) -> str:
    """The reason by the text of ``error`` or of its causes, else by their types."""
    chain = list(_chain(error))
    for each in chain:
        if (reason := _by_text(str(each).lower())) is not None:
            return reason
    for each in reversed(chain):
        if (reason := _by_type(each)) is not None:
            return reason
    return "its engine could not be started"


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _by_text(text: str) -> str | None:
    hits = (reason for reason, phrases in PHRASES.items() if any(each in text for each in phrases))
    return next(hits, None)


def _by_type(error: BaseException) -> str | None:
    match error:
        case UnsupportedError():
            return f"{error}, which is not supported here"
        case NoSafeWeightsError():
            return "it has no safetensors weights"
        case ConversionFailedError():
            return "its weights could not be converted"
        case HubUnavailableError():
            return "the model hub does not give it"
        case WeightsError() | FileNotFoundError():
            return "its files are missing"
        case MemoryError():
            return NOT_ENOUGH_MEMORY
        case ImportError():
            return "a library that it needs is not installed"
        case OSError():
            return "its files are missing or cannot be read"
        case KeyError() | ValueError() | TypeError():
            return "its files do not make up a model that this engine can load"
    if type(error).__name__ == "SafetensorError":  # not imported: it would load the library
        return "its weights are damaged"
    return None
