"""Exports give the same outputs as torch, or the reason why there is no export."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import BertForTokenClassification

from configs.engines import ModelHead
from configs.weights.exports import EXPORT_RECORD_FILE
from deployments.conversion import openvino_export
from deployments.encoders import pytorch
from deployments.encoders.interface import EncoderInfo, Network
from deployments.encoders.openvino import OpenVinoNetwork
from deployments.encoders.tokenization import TokenizedText, tokenize
from tests.deployments import tiny
from tests.deployments.encoders.conftest import Exported
from tests.deployments.families import bert_config, saved

HEADS: tuple[ModelHead, ...] = ("embedding", "sequence", "token")
TEXTS = (tiny.text(*range(10)), tiny.text(3), tiny.text(20, 21, 22), "sport is a cat", "")


@pytest.fixture(scope="session")
def origins(
    encoder_folder: Path, classifier_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    tagger = BertForTokenClassification(bert_config("O", "B-CAT"))
    folder = saved(tagger, tmp_path_factory.mktemp("tagger") / "model")
    roberta = tiny.roberta(tmp_path_factory.mktemp("roberta") / "model")
    return {
        "embedding": encoder_folder,
        "sequence": classifier_folder,
        "token": folder,
        "roberta": roberta,
    }


def opened(origin: Path, head: ModelHead) -> pytorch.TorchNetwork:
    return pytorch.load_network(head, origin, "cpu", openvino_export.OPTIONS)


def tokens(network: Network, *texts: str) -> list[TokenizedText]:
    made = tokenize(network.tokenizer, texts, network.info.max_tokens, truncate=True)
    return [text for text in made if isinstance(text, TokenizedText)]


@pytest.mark.parametrize("kind", [*HEADS, "roberta"])
def test_an_export_answers_as_torch_does(
    origins: dict[str, Path], exported: Exported, kind: Any
) -> None:
    head: ModelHead = "sequence" if kind == "roberta" else kind
    folder, facts = exported(origins[kind], head)
    assert "refusal" not in facts
    ours, theirs = OpenVinoNetwork(folder, threads=1, bfloat16=False), opened(origins[kind], head)
    assert ours.info == theirs.info
    for texts in (TEXTS, TEXTS[:1], TEXTS[1:]):
        mine, its = ours(tokens(ours, *texts)), theirs(tokens(theirs, *texts))
        assert mine.shape == its.shape
        for row, other, text in zip(mine, its, tokens(theirs, *texts), strict=True):
            inner = slice(len(text)) if head == "token" else slice(None)
            assert row[inner] == pytest.approx(other[inner], abs=1e-4)


def test_a_later_forward_leaves_earlier_answers_alone(
    origins: dict[str, Path], exported: Exported
) -> None:
    network = OpenVinoNetwork(exported(origins["embedding"], "embedding")[0], threads=1)
    first = network(tokens(network, TEXTS[0]))
    kept = first.copy()
    network(tokens(network, TEXTS[1]))
    assert np.array_equal(first, kept)


def test_several_forwards_at_a_time_answer_as_one_does(
    origins: dict[str, Path], exported: Exported
) -> None:
    folder = exported(origins["embedding"], "embedding")[0]
    alone, several = OpenVinoNetwork(folder, threads=1), OpenVinoNetwork(folder, 2, at_once=2)
    batches = [tokens(alone, text) for text in TEXTS] * 10
    with ThreadPoolExecutor(several.at_once) as threads:
        answers = list(threads.map(several, batches))
    assert several.at_once == 2
    for batch, answer in zip(batches, answers, strict=True):
        assert answer == pytest.approx(alone(batch), abs=1e-5)


def test_no_more_forwards_run_at_a_time_than_there_are_threads(
    origins: dict[str, Path], exported: Exported
) -> None:
    folder = exported(origins["embedding"], "embedding")[0]
    assert OpenVinoNetwork(folder, threads=1, at_once=4).at_once == 1


def test_both_engines_are_measured_and_the_faster_one_is_named(
    origins: dict[str, Path], exported: Exported
) -> None:
    _, facts = exported(origins["sequence"], "sequence")
    took = facts["milliseconds"]
    assert set(took) == {"torch", "openvino"}
    assert all(set(each) == {"1", "32"} and min(each.values()) > 0 for each in took.values())
    ratio = np.prod([took["torch"][size] / took["openvino"][size] for size in ("1", "32")])
    assert facts["faster"] == ("openvino" if ratio > 1 else "torch")
    assert facts["processor"]


def test_where_bfloat16_is_native_both_dtypes_are_timed(
    encoder_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openvino_export, "native_bfloat16", lambda: True)
    openvino_export.write_export(encoder_folder, tmp_path, "embedding")
    facts = json.loads((tmp_path / EXPORT_RECORD_FILE).read_text())
    assert set(facts["float32"]) == {"milliseconds", "faster"} <= set(facts)
    assert 0 <= facts["bfloat16_difference"] < 0.5


def test_a_network_that_was_traced_wrongly_is_refused(
    classifier_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Forgetful(torch.nn.Module):
        """Works only for the length of its first input, as a frozen trace would."""

        def __init__(self, module: Any) -> None:
            super().__init__()
            self.module = module

        def forward(self, **features: Any) -> Any:
            long = features["input_ids"].shape[1] > 8
            return self.module(**features) * (2.0 if long else 1.0)

    opened_there = pytorch.load_network

    def forgetful(*given: Any) -> pytorch.TorchNetwork:
        network = opened_there(*given)
        info, padding = network.info, network.padding
        module = Forgetful(network.module)
        return pytorch.TorchNetwork(network.tokenizer, info, module, "cpu", padding)

    monkeypatch.setattr(pytorch, "load_network", forgetful)
    openvino_export.write_export(classifier_folder, tmp_path, "sequence")
    assert [file.name for file in tmp_path.iterdir()] == [EXPORT_RECORD_FILE]
    assert "it answers differently from torch" in (tmp_path / EXPORT_RECORD_FILE).read_text()


def test_encoder_info_survives_its_file(tmp_path: Path) -> None:
    info = EncoderInfo(7, ("no", "yes"), multi_label=True, prompts={"query": "query: "})
    info.write(tmp_path / "traits.json")
    assert EncoderInfo.read(tmp_path / "traits.json") == info


def test_encoder_info_of_folders_that_a_cache_holds_already_is_read(tmp_path: Path) -> None:
    stored = {"max_tokens": 7, "labels": ["no", "yes"], "several": True, "prompts": {}}
    (tmp_path / "traits.json").write_text(json.dumps(stored), encoding="utf-8")
    info = EncoderInfo.read(tmp_path / "traits.json")
    assert info == EncoderInfo(7, ("no", "yes"), multi_label=True)
