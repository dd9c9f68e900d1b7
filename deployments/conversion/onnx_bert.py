"""Converts the ONNX export of a BERT-family model, quantised or not, back to a checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from deployments.conversion.errors import ConversionError
from deployments.conversion.files import only_file
from deployments.conversion.onnx_graph import OnnxGraph

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def write_checkpoint(
    origin: Path,
    folder: Path,
    architecture: str = "BertModel",
    config: dict[str, Any] | None = None,
) -> None:
    """Convert the one ``.onnx`` file in ``origin``, and copy its tokenizer."""
    from transformers import AutoTokenizer

    load(origin, architecture, config or {}).save_pretrained(folder)
    AutoTokenizer.from_pretrained(origin).save_pretrained(folder)


def load(origin: Path, architecture: str, config: dict[str, Any]) -> PreTrainedModel:
    """The model in evaluation mode; every weight comes from the export.

    ``config`` is added to ``config.json`` of ``origin``, or replaces it if there is none. If the
    export has no pooler, a plain ``BertModel`` has none either.

    Raises:
        ConversionError: an unknown architecture, or weights that do not fit it.
    """
    import torch
    import transformers

    model_class = getattr(transformers, architecture, None)
    if model_class is None:
        raise ConversionError(f"transformers has no {architecture}")
    weights = {
        k: torch.tensor(array.copy())
        for k, array in OnnxGraph(only_file(origin, ".onnx")).weights().items()
    }
    pooled = any("pooler." in name for name in weights)
    bare = {"add_pooling_layer": False} if architecture == "BertModel" and not pooled else {}
    model: PreTrainedModel = model_class(_config(origin, model_class, config), **bare)
    _fill(model, weights)
    model.train(False)
    return model


def _config(origin: Path, model_class: Any, extra: dict[str, Any]) -> Any:
    if (origin / "config.json").is_file():
        return model_class.config_class.from_pretrained(origin, **extra)
    return model_class.config_class(**extra)


def _fill(model: PreTrainedModel, weights: dict[str, Any]) -> None:
    try:
        result = model.load_state_dict(weights, strict=False)
    except RuntimeError as error:
        raise ConversionError(f"the export's shapes do not fit the config: {error}") from error
    if result.missing_keys or result.unexpected_keys:
        raise ConversionError(
            f"the export does not fit {type(model).__name__}: "
            f"it lacks {result.missing_keys[:6]} and has besides {result.unexpected_keys[:6]}"
        )
