"""Runs encoders on torch, of any architecture and on any device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from configs.engines import EngineName, ModelHead
from deployments.encoders.interface import EncoderInfo, Outputs
from deployments.encoders.padding import Padding
from deployments.encoders.tokenization import TokenizedText, token_limit
from deployments.models.pretrained import load_pretrained, load_tokenizer

AUTO_CLASSES: dict[ModelHead, str] = {
    "sequence": "AutoModelForSequenceClassification",
    "token": "AutoModelForTokenClassification",
    "masked": "AutoModelForMaskedLM",
    "span": "AutoModelForQuestionAnswering",
}

UNQUANTISED = ("classifier", "score", "classification_head", "cls", "lm_head", "qa_outputs")
"""Transformers' names of the layers above the encoder, which are not quantised: they are small, and
decide the result, and some of bitsandbytes' kernels need more rows."""


@dataclass(frozen=True, slots=True)
class TorchNetwork:
    """``module`` takes tensors by name, on ``device``, and returns one tensor."""

    tokenizer: Any
    info: EncoderInfo
    module: torch.nn.Module
    device: str
    padding: Padding
    engine: EngineName = "torch"
    at_once: int = 1

    def inputs(self, batch: Sequence[TokenizedText]) -> dict[str, torch.Tensor]:
        """The module's arguments for a batch."""
        arrays = self.padding(batch, pooled=not self.info.pools_prompts)
        return {k: torch.from_numpy(v).to(self.device) for k, v in arrays.items()}

    def __call__(self, batch: Sequence[TokenizedText]) -> Outputs:
        tensors = self.inputs(batch)
        with torch.inference_mode():
            outputs: Outputs = self.module(**tensors).float().cpu().numpy()
        return outputs


class _LogitsOnly(torch.nn.Module):
    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, **features: Any) -> Any:
        return self.model(**features).logits


class _StartsAndEnds(torch.nn.Module):
    """Both logits of every token, of shape (texts, longest text, 2)."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, **features: Any) -> Any:
        outputs = self.model(**features)
        return torch.stack([outputs.start_logits, outputs.end_logits], dim=-1)


class _AtMask(torch.nn.Module):
    """The logits of the vocabulary at the first mask token of each text, or at its first token.

    The head of the model is applied to those tokens alone: its outputs for every token of a batch
    would take gigabytes.
    """

    def __init__(self, model: Any, mask_token_id: int) -> None:
        super().__init__()
        if model.base_model is model:
            raise ValueError(f"the head of {type(model).__name__} is not apart from its encoder")
        self.model = model
        self._mask_token_id = mask_token_id
        self._positions: torch.Tensor | None = None
        model.base_model.register_forward_hook(self._keep_masked)

    def forward(self, **features: Any) -> Any:
        self._positions = (features["input_ids"] == self._mask_token_id).int().argmax(1)
        return self.model(**features).logits[:, 0]

    def _keep_masked(self, encoder: Any, given: Any, outputs: Any) -> Any:
        assert self._positions is not None
        hidden = outputs.last_hidden_state
        places = self._positions[:, None, None].expand(-1, 1, hidden.shape[-1])
        outputs.last_hidden_state = hidden.gather(1, places)
        return outputs


def load_network(
    head: ModelHead, folder: Path, device: str, options: Mapping[str, Any]
) -> TorchNetwork:
    """The network in ``folder``. ``options`` are arguments of ``from_pretrained``."""
    if head == "embedding":
        return _load_embedding(folder, device, dict(options))
    if head == "masked":
        return _load_masked(folder, device, options)
    if head == "span":
        return _load_spans(folder, device, options)
    return _load_classifier(AUTO_CLASSES[head], folder, device, options)


def _load_embedding(folder: Path, device: str, options: dict[str, Any]) -> TorchNetwork:
    from deployments.encoders import sentence_modules as sentences

    tokenizer, info, module = sentences.load_sentence_modules(folder, device, options)
    return TorchNetwork(tokenizer, info, module, device, Padding.of(tokenizer))


def _load_classifier(
    auto_class: str, folder: Path, device: str, options: Mapping[str, Any]
) -> TorchNetwork:
    tokenizer = load_tokenizer(folder, trust_remote_code=options["trust_remote_code"])
    model = load_pretrained(auto_class, folder, device, options)
    config = model.config
    info = EncoderInfo(
        token_limit(tokenizer, model),
        labels=tuple(str(config.id2label[i]) for i in range(len(config.id2label))),
        multi_label=config.problem_type == "multi_label_classification",
    )
    return TorchNetwork(tokenizer, info, _LogitsOnly(model), device, Padding.of(tokenizer))


def _load_masked(folder: Path, device: str, options: Mapping[str, Any]) -> TorchNetwork:
    tokenizer = load_tokenizer(folder, trust_remote_code=options["trust_remote_code"])
    if tokenizer.mask_token_id is None:
        raise ValueError("the tokenizer has no mask token")
    model = load_pretrained(AUTO_CLASSES["masked"], folder, device, options)
    info = EncoderInfo(token_limit(tokenizer, model))
    module = _AtMask(model, tokenizer.mask_token_id)
    return TorchNetwork(tokenizer, info, module, device, Padding.of(tokenizer))


def _load_spans(folder: Path, device: str, options: Mapping[str, Any]) -> TorchNetwork:
    tokenizer = load_tokenizer(folder, trust_remote_code=options["trust_remote_code"])
    padding = Padding.of(tokenizer)
    if padding.side == "left":
        raise ValueError("the tokenizer pads on the left")
    model = load_pretrained(AUTO_CLASSES["span"], folder, device, options)
    info = EncoderInfo(token_limit(tokenizer, model))
    return TorchNetwork(tokenizer, info, _StartsAndEnds(model), device, padding)
