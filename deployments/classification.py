"""Classification: sequence classifiers, texts in, labels with their probabilities out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from configs.profile import ModelSpec
from deployments.base import ModelUnavailable, claim_device, load_options
from deployments.encoders import EncoderFamily
from deployments.seam import ClassificationRequest, Classified, LabelScore, Problem
from deployments.texts import TokenizedText, pad

Labels = tuple[LabelScore, ...]

HEADS = ("classifier", "score", "classification_head")
"""What transformers calls the layers above the encoder. It would quantise them, although they are
small, decide the answer, and have fewer rows than some of bitsandbytes' kernels take."""


class Classification(EncoderFamily[Labels]):
    """The deployment of the classification family."""

    async def classify(self, request: ClassificationRequest) -> Classified | Problem:
        """Every label of every text, best first."""
        try:
            async with self._residency.use(request.model) as encoder:
                answers, _ = await self._answers(encoder, request.texts, truncate=request.truncate)
        except ModelUnavailable as error:
            return error.problem
        return Classified(tuple(answers))

    def load(self, folder: Path, spec: ModelSpec) -> tuple[Any, int, Any]:
        from transformers import AutoModelForSequenceClassification, AutoTokenizer

        device = claim_device(self._config)
        options = load_options(self._config, spec, device, unquantised=HEADS)
        trust = options["trust_remote_code"]
        tokenizer = AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=trust
        )
        model = AutoModelForSequenceClassification.from_pretrained(folder, **options)
        model = model.to(device).eval()

        def run(batch: Sequence[TokenizedText]) -> list[Labels | Problem]:
            return _forward(model, pad(tokenizer, batch, device))

        return tokenizer, _limit(tokenizer, model), run


def _forward(model: Any, features: dict[str, Any]) -> list[Labels | Problem]:
    """Softmax over classes, or a sigmoid a class for models trained on several labels a text."""
    import torch

    with torch.inference_mode():
        logits = model(**features).logits.float()
    several = model.config.problem_type == "multi_label_classification"
    chances = logits.sigmoid() if several else logits.softmax(-1)
    names = [str(model.config.id2label[i]) for i in range(logits.shape[-1])]
    return [_ranked(names, row) for row in chances.cpu().tolist()]


def _ranked(names: Sequence[str], chances: Sequence[float]) -> Labels:
    scored = [LabelScore(name, chance) for name, chance in zip(names, chances, strict=True)]
    return tuple(sorted(scored, key=lambda label: label.score, reverse=True))


def _limit(tokenizer: Any, model: Any) -> int:
    """Tokens a text: the smaller of what tokenizer and position embeddings take.

    RoBERTa's position ids start after its padding id, so some of its positions are never used.
    """
    positions = int(getattr(model.config, "max_position_embeddings", 512))
    offset = (model.config.pad_token_id or 0) + 1 if "roberta" in model.config.model_type else 0
    return min(int(tokenizer.model_max_length), positions - offset)
