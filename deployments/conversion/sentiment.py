"""Fits a sentiment head to a frozen BERT encoder: a classifier of demonstration quality.

No package has a sentiment model. The head is a linear probe of the encoder's first token, fitted
within seconds to the sentences in ``sentiment_sentences.yaml``. The result is saved as an ordinary
``BertForSequenceClassification``.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from deployments.conversion import onnx_bert

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

LABELS = ("NEGATIVE", "POSITIVE")
SENTENCES = Path(__file__).with_name("sentiment_sentences.yaml")
# The smallest of the best values in six-fold cross-validation on the sentences (98.5 % right).
_DECAY = 1e-2
_BATCH = 32


def write_checkpoint(origin: Path, folder: Path) -> None:
    """Fit a head to the BERT encoder in ``origin``, a checkpoint or ONNX export, and save both.

    Nothing is random: the same sentences and encoder give the same head.
    """
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(origin)
    model = _unfitted(_encoder(origin))
    sentences, labels = training_set()
    _fit(model, features(model, tokenizer, sentences), labels)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def training_set() -> tuple[list[str], list[int]]:
    """The sentences, and the index in ``LABELS`` of each one's label."""
    classes: dict[str, list[str]] = yaml.safe_load(SENTENCES.read_text())
    pairs = [(text, index) for index, label in enumerate(LABELS) for text in classes[label]]
    return [text for text, _ in pairs], [index for _, index in pairs]


def _encoder(origin: Path) -> PreTrainedModel:
    from transformers import BertModel

    if any(origin.glob("*.safetensors")):
        encoder: PreTrainedModel = BertModel.from_pretrained(origin, add_pooling_layer=False)
        return encoder
    return onnx_bert.load(origin, "BertModel", {})


def _unfitted(encoder: PreTrainedModel) -> Any:
    """A classifier with the encoder, whose pooler is the identity followed by tanh."""
    import torch
    from transformers import BertForSequenceClassification

    config: Any = encoder.config
    config.id2label = dict(enumerate(LABELS))
    config.label2id = {label: index for index, label in enumerate(LABELS)}
    model: Any = BertForSequenceClassification(config)
    model.bert.load_state_dict(encoder.state_dict(), strict=False)
    with torch.no_grad():
        torch.nn.init.eye_(model.bert.pooler.dense.weight)
        model.bert.pooler.dense.bias.zero_()
    return model.eval()


def features(model: Any, tokenizer: Any, sentences: list[str]) -> torch.Tensor:
    """The inputs of the head, of shape (sentences, hidden size)."""
    import torch

    parts = []
    for start in range(0, len(sentences), _BATCH):
        batch = sentences[start : start + _BATCH]
        inputs = tokenizer(batch, padding=True, truncation=True, return_tensors="pt")
        with torch.inference_mode():
            parts.append(model.bert(**inputs).pooler_output)
    return torch.cat(parts)


def _fit(model: Any, inputs: torch.Tensor, labels: list[int]) -> None:
    weight, bias = logistic_regression(inputs, labels, _DECAY)
    model.classifier.weight.data.copy_(weight)
    model.classifier.bias.data.copy_(bias)


def logistic_regression(
    inputs: torch.Tensor, labels: list[int], decay: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Fit ``labels``: weight (2, hidden) with an L2 penalty of ``decay``, and bias (2).

    The problem is convex and is solved in float64, so the result depends on no seed.
    """
    import torch

    with torch.inference_mode(False):
        points, targets = inputs.clone().double(), torch.tensor(labels)
        mean = points.mean(0)
        weight = torch.zeros(2, points.shape[1], dtype=torch.float64, requires_grad=True)
        bias = torch.zeros(2, dtype=torch.float64, requires_grad=True)
        optimizer = torch.optim.LBFGS([weight, bias], max_iter=200, line_search_fn="strong_wolfe")

        def loss() -> torch.Tensor:
            optimizer.zero_grad()
            scores = (points - mean) @ weight.T + bias
            value = torch.nn.functional.cross_entropy(scores, targets)
            value = value + decay * weight.square().sum()
            value.backward()  # type: ignore[no-untyped-call]
            return value

        optimizer.step(loss)  # type: ignore[no-untyped-call]
        return weight.detach(), (bias - weight @ mean).detach()
