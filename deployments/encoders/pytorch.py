"""Encoders on torch, whatever their architecture and wherever torch runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers

from configs.engines import EngineName, ModelHead
from deployments.encoders.interface import EncoderInfo, Outputs
from deployments.encoders.padding import Padding
from deployments.encoders.tokenization import TokenizedText, token_limit
from deployments.models.memory import own_weights

AUTO_CLASSES: dict[ModelHead, str] = {
    "sequence": "AutoModelForSequenceClassification",
    "token": "AutoModelForTokenClassification",
}

UNQUANTISED = ("classifier", "score", "classification_head")
"""What transformers calls the layers above the encoder. It would quantise them, although they are
small, decide the answer, and have fewer rows than some of bitsandbytes' kernels take."""


@dataclass(frozen=True, slots=True)
class TorchNetwork:
    """``module`` takes tensors by name, on ``device``, and gives one tensor."""

    tokenizer: Any
    info: EncoderInfo
    module: torch.nn.Module
    device: str
    padding: Padding
    engine: EngineName = "torch"
    at_once: int = 1

    def inputs(self, batch: Sequence[TokenizedText]) -> dict[str, torch.Tensor]:
        """What the module takes for a batch."""
        arrays = self.padding(batch, pooled=not self.info.pools_prompts)
        return {k: torch.from_numpy(v).to(self.device) for k, v in arrays.items()}

    def __call__(self, batch: Sequence[TokenizedText]) -> Outputs:
        tensors = self.inputs(batch)
        with torch.inference_mode():
            outputs: Outputs = self.module(**tensors).float().cpu().numpy()
        return outputs


class _Labelling(torch.nn.Module):
    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, **features: Any) -> Any:
        return self.model(**features).logits


def load_network(
    head: ModelHead, folder: Path, device: str, options: Mapping[str, Any]
) -> TorchNetwork:
    """The network in ``folder``; ``options`` are those of ``from_pretrained``."""
    if head == "embedding":
        return _embedding(folder, device, dict(options))
    return _labelling(AUTO_CLASSES[head], folder, device, options)


def _embedding(folder: Path, device: str, options: dict[str, Any]) -> TorchNetwork:
    from deployments.encoders import sentence_modules as sentences

    tokenizer, info, module = sentences.load_sentence_modules(folder, device, options)
    return TorchNetwork(tokenizer, info, module, device, Padding.of(tokenizer))


def _labelling(
    auto_class: str, folder: Path, device: str, options: Mapping[str, Any]
) -> TorchNetwork:
    tokenizer: Any = transformers.AutoTokenizer.from_pretrained(
        folder, local_files_only=True, trust_remote_code=options["trust_remote_code"]
    )
    model = getattr(transformers, auto_class).from_pretrained(folder, **options)
    model = model.to(device).eval()
    own_weights(model)
    config = model.config
    info = EncoderInfo(
        token_limit(tokenizer, model),
        labels=tuple(str(config.id2label[i]) for i in range(len(config.id2label))),
        multi_label=config.problem_type == "multi_label_classification",
    )

    return TorchNetwork(tokenizer, info, _Labelling(model), device, Padding.of(tokenizer))
