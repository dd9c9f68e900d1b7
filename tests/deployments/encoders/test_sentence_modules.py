"""Sentence-transformers checkpoints give that library's vectors, or are refused."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules.dense import Dense
from sentence_transformers.base.modules.normalize import Normalize
from sentence_transformers.base.modules.router import Router
from sentence_transformers.sentence_transformer.modules.cnn import CNN
from sentence_transformers.sentence_transformer.modules.layer_norm import LayerNorm
from sentence_transformers.sentence_transformer.modules.pooling import Pooling
from sentence_transformers.sentence_transformer.modules.static_embedding import StaticEmbedding
from sentence_transformers.sentence_transformer.modules.word_weights import WordWeights

from deployments.embeddings import Embeddings
from deployments.encoders.openvino import OpenVinoNetwork
from deployments.encoders.padding import Padding
from deployments.encoders.sentence_modules import load_sentence_modules
from deployments.encoders.tokenization import TokenizedText
from deployments.models.errors import ModelUnavailable
from deployments.models.load_errors import UnsupportedError, reason_of
from deployments.seam.embeddings import ClusterRequest, EmbeddingRequest, EmbeddingResult
from deployments.seam.problems import Problem
from tests.deployments import tiny
from tests.deployments.conftest import Configured
from tests.deployments.encoders.conftest import Exported

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.usefixtures("in_replica")]

SIZE = tiny.SIZES["hidden_size"]
TEXTS = (tiny.text(*range(7)), tiny.text(3), tiny.text(20, 21, 22))
PROMPTS = {"query": tiny.text(30, 31) + " ", "passage": tiny.text(40) + " "}
OPTIONS = {"trust_remote_code": False, "dtype": torch.float32}


def whole(folder: Path) -> Path:
    """All pooling modes at once, with a default prompt and prompts that are not pooled."""
    pooling = Pooling(SIZE, Pooling.POOLING_MODES, include_prompt=False)
    return tiny.sentences(
        folder, pooling, Normalize(), prompts=PROMPTS, default_prompt_name="query"
    )


def layered(folder: Path) -> Path:
    """Modules after pooling, one of them after ``Normalize``, and truncated dimensions."""
    torch.manual_seed(1)
    between = (Dense(SIZE, 32), Normalize(), LayerNorm(32), Dense(32, 24))
    return tiny.sentences(folder, Pooling(SIZE, "mean"), *between, truncate_dim=9)


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    place = tmp_path_factory.mktemp("sentences")
    return {"whole": whole(place / "whole"), "layered": layered(place / "layered")}


def theirs(folder: Path, *texts: str, **given: Any) -> Any:
    model = SentenceTransformer(str(folder), device="cpu")
    return model.encode(list(texts), normalize_embeddings=True, **given)


@pytest.fixture(params=["torch", "openvino"])
def family(
    request: pytest.FixtureRequest,
    configured: Configured,
    exported: Exported,
    folders: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> Any:
    """The family on one engine, by the name of the checkpoint."""

    def made(name: str) -> Embeddings:
        if request.param == "openvino":
            folder, facts = exported(folders[name], "embedding")
            assert "refusal" not in facts
            network = OpenVinoNetwork(folder, threads=1, bfloat16=False)
            opened = "deployments.encoders.text_encoders.open_network"
            monkeypatch.setattr(opened, lambda config, spec, head: network)
        return Embeddings(configured(folders[name], engine="torch"))

    return made


async def embedded(family: Embeddings, *texts: str, **fields: Any) -> EmbeddingResult:
    answer = await family.embed(EmbeddingRequest("tiny", texts, **fields))
    assert isinstance(answer, EmbeddingResult)
    assert not answer.problems
    return answer


async def test_the_default_prompt_goes_before_texts_and_is_not_pooled(
    family: Any, folders: dict[str, Path]
) -> None:
    ours = await embedded(family("whole"), *TEXTS)
    assert ours.vectors == pytest.approx(theirs(folders["whole"], *TEXTS), abs=1e-5)
    plain = theirs(folders["whole"], *TEXTS, prompt="")
    assert np.abs(ours.vectors - plain).max() > 1e-2


async def test_requests_with_prompts_of_different_lengths_share_a_forward(
    family: Any, folders: dict[str, Path]
) -> None:
    made = family("whole")
    requests = [
        EmbeddingRequest("tiny", TEXTS, prompt_name=name) for name in ("query", "passage", None)
    ]
    answers = await asyncio.gather(*map(made.embed, requests))
    for request, answer in zip(requests, answers, strict=True):
        assert isinstance(answer, EmbeddingResult)
        expected = theirs(folders["whole"], *TEXTS, prompt_name=request.prompt_name)
        assert answer.vectors == pytest.approx(expected, abs=1e-5)


async def test_modules_after_pooling_and_truncated_dimensions_give_the_librarys_vectors(
    family: Any, folders: dict[str, Path]
) -> None:
    made = family("layered")
    ours = await embedded(made, *TEXTS)
    assert ours.vectors.shape == (len(TEXTS), 9)
    assert ours.vectors == pytest.approx(theirs(folders["layered"], *TEXTS), abs=1e-5)
    more = await embedded(made, *TEXTS, dimensions=24)
    expected = theirs(folders["layered"], *TEXTS, truncate_dim=24)
    assert more.vectors == pytest.approx(expected, abs=1e-5)


async def test_a_prompt_that_fills_the_window_leaves_what_the_library_leaves(
    configured: Configured, tmp_path: Path
) -> None:
    pooling = Pooling(SIZE, "max", include_prompt=False)
    long = {"long": tiny.text(*range(tiny.POSITIONS + 5)) + " "}
    folder = tiny.sentences(tmp_path / "model", pooling, prompts=long)
    made = Embeddings(configured(folder, engine="torch"))
    ours = await embedded(made, *TEXTS, prompt_name="long", truncate=True)
    expected = theirs(folder, *TEXTS, prompt_name="long")
    assert ours.vectors == pytest.approx(expected, abs=1e-5)


async def test_the_default_prompt_is_also_that_of_clusters(
    configured: Configured, folders: dict[str, Path]
) -> None:
    made = Embeddings(configured(folders["whole"], engine="torch"))
    clustered: Any = await made.cluster(ClusterRequest(EmbeddingRequest("tiny", TEXTS), 3))
    own = clustered.centers[list(clustered.labels)]  # as many clusters as texts: its own each
    assert own == pytest.approx(theirs(folders["whole"], *TEXTS), abs=1e-5)


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("mode", Pooling.POOLING_MODES)
async def test_every_pooling_mode_gives_the_librarys_vectors(
    configured: Configured, tmp_path: Path, mode: Any, side: str
) -> None:
    pooling = Pooling(SIZE, mode, include_prompt=False)
    folder = tiny.sentences(
        tmp_path / "model", pooling, prompts=PROMPTS, default_prompt_name="passage"
    )
    settings = folder / "tokenizer_config.json"
    settings.write_text(json.dumps(json.loads(settings.read_text()) | {"padding_side": side}))
    made = Embeddings(configured(folder, engine="torch"))
    for text in TEXTS:  # one by one: BERT places a text by how it is padded on the left
        ours = await embedded(made, text)
        assert ours.vectors == pytest.approx(theirs(folder, text), abs=1e-5)


async def test_weights_of_words_count_in_the_mean(configured: Configured, tmp_path: Path) -> None:
    vocabulary = [*tiny.SPECIAL, *tiny.WORDS]
    weights = {word: 1.0 + number % 5 for number, word in enumerate(tiny.WORDS)}
    folder = tiny.sentences(
        tmp_path / "model", WordWeights(vocabulary, weights), Pooling(SIZE, "mean")
    )
    ours = await embedded(Embeddings(configured(folder, engine="torch")), *TEXTS)
    assert ours.vectors == pytest.approx(theirs(folder, *TEXTS), abs=1e-5)


async def test_lower_case_and_the_longest_text_are_those_of_the_checkpoint(
    configured: Configured, tmp_path: Path
) -> None:
    folder = tiny.sentences(tmp_path / "model", Pooling(SIZE, "mean"))
    settings = folder / "sentence_bert_config.json"
    known = json.loads(settings.read_text())
    settings.write_text(json.dumps(known | {"do_lower_case": True, "max_seq_length": 6}))
    made = Embeddings(configured(folder, engine="torch"))
    loud = await embedded(made, TEXTS[2].upper())
    assert loud.vectors == pytest.approx((await embedded(made, TEXTS[2])).vectors, abs=1e-6)
    long = await made.embed(EmbeddingRequest("tiny", TEXTS[:1]))
    assert isinstance(long, EmbeddingResult)
    assert "length is 6 tokens" in long.problems[0].message
    cut = await embedded(made, TEXTS[0], truncate=True)
    assert cut.vectors == pytest.approx(theirs(folder, TEXTS[0]), abs=1e-5)


def convolved(folder: Path) -> Path:
    return tiny.sentences(folder, CNN(SIZE, 16), Pooling(48, "mean"))


def routed(folder: Path) -> Path:
    routes = {"query": [Pooling(SIZE, "mean")], "document": [Pooling(SIZE, "max")]}
    return tiny.sentences(folder, Router(routes, default_route="query"))


def static(folder: Path) -> Path:
    embedding = StaticEmbedding(tiny.tokenizer().backend_tokenizer, embedding_dim=8)
    SentenceTransformer(modules=[embedding], device="cpu").save(str(folder))
    return folder


REFUSED = [(convolved, "CNN"), (routed, "Router"), (static, "StaticEmbedding")]


@pytest.mark.parametrize(("make", "name"), REFUSED)
async def test_an_unsupported_checkpoint_is_refused_with_the_reason(
    configured: Configured, tmp_path: Path, make: Any, name: str
) -> None:
    folder = make(tmp_path / "model")
    with pytest.raises(UnsupportedError, match=name) as caught:
        load_sentence_modules(folder, "cpu", dict(OPTIONS))
    assert name in reason_of(caught.value)
    made = Embeddings(configured(folder, engine="torch", pinned=False))
    answer = await made.embed(EmbeddingRequest("tiny", TEXTS))
    assert isinstance(answer, Problem)
    assert answer.kind == "unavailable"
    assert name in answer.message


async def test_a_checkpoint_whose_default_prompt_is_not_among_its_prompts_is_not_loaded(
    configured: Configured, tmp_path: Path
) -> None:
    folder = tiny.sentences(tmp_path / "model", Pooling(SIZE, "mean"), prompts=PROMPTS)
    settings = folder / "config_sentence_transformers.json"
    known = json.loads(settings.read_text())
    settings.write_text(json.dumps(known | {"default_prompt_name": "nothing"}))
    made = Embeddings(configured(folder, engine="torch", pinned=False))
    with pytest.raises(ModelUnavailable):
        await made._models.load("tiny")


@pytest.mark.parametrize(("side", "expected"), [("left", [0, 0, 0, 1]), ("right", [0, 1, 0, 0])])
async def test_neither_padding_nor_the_prompt_is_pooled(side: Any, expected: list[int]) -> None:
    long = TokenizedText({"input_ids": [5, 6, 7, 8]})
    short = TokenizedText({"input_ids": [5, 6]}, unpooled=1)
    arrays = Padding(side)([long, short], pooled=True)
    assert arrays["pooled"].tolist() == [[1, 1, 1, 1], expected]
    assert "pooled" not in Padding(side)([long, short])
