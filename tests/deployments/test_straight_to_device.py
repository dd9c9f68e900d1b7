"""Every family loads weights straight to its GPU, in the dtype and quantisation of the profile.

There is no GPU here: loading is stopped where transformers would read the weights.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import torch
from transformers import (
    BartConfig,
    BertConfig,
    BlipConfig,
    GPT2Config,
    PreTrainedConfig,
    PreTrainedModel,
    ViTConfig,
)
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

from configs.settings import Settings
from deployments.captioning import Captioning
from deployments.classification import Classification
from deployments.embeddings import Embeddings
from deployments.entities import Entities
from deployments.generation import Generation
from deployments.models.config import FamilyConfig
from deployments.models.family import FamilyDeployment
from deployments.reranking import Reranking
from deployments.summarization import Summarization
from deployments.vision import Vision
from tests.deployments import tiny
from tests.deployments.families import family_of, started

pytestmark = pytest.mark.usefixtures("in_replica")

Options: TypeAlias = dict[str, Any]


class WeightsRead(Exception):
    """In place of reading weights."""


def stop_before_weights(monkeypatch: pytest.MonkeyPatch) -> Options:
    """Have torch see a GPU, and :class:`WeightsRead` raised where transformers would read weights.

    The options with which they would have been read, once that has happened.
    """
    seen: Options = {}

    def from_pretrained(model_class: Any, *given: Any, **options: Any) -> None:
        seen.update(options)
        raise WeightsRead

    monkeypatch.setattr(PreTrainedModel, "from_pretrained", classmethod(from_pretrained))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: True)
    return seen


def of_config(config: PreTrainedConfig) -> Callable[[Path], Path]:
    """Makes a folder with all that is read before the weights."""

    def make(folder: Path) -> Path:
        config.save_pretrained(folder)
        tiny.tokenizer().save_pretrained(folder)
        images: Any = ViTImageProcessorPil
        images().save_pretrained(folder)
        (folder / "model.safetensors").touch()
        return folder

    return make


BERT = of_config(BertConfig(architectures=["BertModel"]))
FAMILIES = [
    (Embeddings, "embed", tiny.encoder),
    (Classification, "sentiment", BERT),
    (Reranking, "rerank", BERT),
    (Entities, "entities", BERT),
    (Summarization, "summarize", of_config(BartConfig())),
    (Captioning, "caption", of_config(BlipConfig())),
    (Vision, "image_classify", of_config(ViTConfig())),
    (Generation, "generate", of_config(GPT2Config())),
]


@pytest.mark.parametrize(
    ("family", "task", "folder"), FAMILIES, ids=[family.__name__ for family, *_ in FAMILIES]
)
@pytest.mark.parametrize("quantization", ["none", "nf4"])
async def test_weights_go_straight_to_the_gpu(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    family: Callable[[FamilyConfig], FamilyDeployment[Any]],
    task: str,
    folder: Callable[[Path], Path],
    quantization: str,
) -> None:
    fields = {"dtype": "auto", "quantization": quantization}
    config = family_of(folder(tmp_path / "model"), task, **fields)
    settings = Settings(device="auto", threads=1, hf_cache_dir=tmp_path / "cache")
    read = stop_before_weights(monkeypatch)
    with pytest.raises(WeightsRead):
        await started(family(replace(config, settings=settings, gpu_fraction=1.0)))
    assert read["device_map"] == {"": "cuda"}
    assert read["dtype"] is torch.bfloat16
    assert ("quantization_config" in read) is (quantization != "none")
