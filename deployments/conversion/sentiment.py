"""A sentiment classifier: a linear head on a frozen encoder, of demonstration quality.

Nothing packaged carries sentiment, so a head is fitted in a moment to the sentences beside this
file, as a linear probe of the encoder's first token. What is saved is an ordinary
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
# The smallest of those that did best in six-fold cross-validation on the sentences (98.5 %).
_DECAY = 1e-2
_BATCH = 32


def write_checkpoint(origin: Path, folder: Path) -> None:
    """Fit a head to ``origin``, a BERT encoder as checkpoint or ONNX export, and save both.

    The same sentences and encoder give the same head: nothing is drawn at random.
    """
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(origin)
    model = _unfitted(_encoder(origin))
    sentences, labels = training_set()
    _fit(model, features(model, tokenizer, sentences), labels)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def training_set() -> tuple[list[str], list[int]]:
    """The sentences, and for each the index of its label in ``LABELS``."""
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
    """The encoder in a classifier whose pooler passes tanh of the first token on unmixed."""
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
    """What the head sees, (sentences, hidden size)."""
    import torch

    parts = []
    for start in range(0, len(sentences), _BATCH):
        batch = sentences[start : start + _BATCH]
        inputs = tokenizer(batch, padding=True, truncation=True, return_tensors="pt")
        with torch.inference_mode():
            parts.append(model.bert(**inputs).pooler_output)
    return torch.cat(parts)


def _fit(model: Any, seen: torch.Tensor, labels: list[int]) -> None:
    weight, bias = logistic_regression(seen, labels, _DECAY)
    model.classifier.weight.data.copy_(weight)
    model.classifier.bias.data.copy_(bias)


def logistic_regression(
    seen: torch.Tensor, labels: list[int], decay: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Weight (2, hidden) and bias (2) that fit ``labels``, with an L2 penalty on the weight.

    Convex and solved in float64, so that the result does not depend on a seed.
    """
    import torch

    with torch.inference_mode(False):
        inputs, wanted = seen.clone().double(), torch.tensor(labels)
        mean = inputs.mean(0)
        weight = torch.zeros(2, inputs.shape[1], dtype=torch.float64, requires_grad=True)
        bias = torch.zeros(2, dtype=torch.float64, requires_grad=True)
        optimizer = torch.optim.LBFGS([weight, bias], max_iter=200, line_search_fn="strong_wolfe")

        def loss() -> torch.Tensor:
            optimizer.zero_grad()
            scores = (inputs - mean) @ weight.T + bias
            value = torch.nn.functional.cross_entropy(scores, wanted)
            value = value + decay * weight.square().sum()
            value.backward()  # type: ignore[no-untyped-call]
            return value

        optimizer.step(loss)  # type: ignore[no-untyped-call]
        return weight.detach(), (bias - weight @ mean).detach()
