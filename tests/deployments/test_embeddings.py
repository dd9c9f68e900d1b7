from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
import torch

from deployments.embeddings import Embeddings, _k_means
from deployments.encoders.tokenization import TokenizedText
from deployments.metrics.stage_recorder import recorder_here
from deployments.models.config import FamilyConfig
from deployments.seam.call_context import CallContext, ContextualCall
from deployments.seam.embeddings import (
    ClusterRequest,
    ClusterResult,
    EmbeddingRequest,
    EmbeddingResult,
)
from deployments.seam.problems import Problem
from tests.deployments import tiny
from tests.deployments.conftest import Configured
from tests.deployments.families import started, watch_batches

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.usefixtures("in_replica")]

TEXTS = (tiny.text(*range(10)), tiny.text(3), tiny.text(20, 21, 22), tiny.text(3, 4))
TOO_LONG = tiny.text(*range(40))


class Counting(Embeddings):
    """Records how many texts each forward gets."""

    def __init__(self, config: FamilyConfig) -> None:
        super().__init__(config)
        self.forwards: list[int] = []
        watch_batches(self, lambda batch: self.forwards.append(len(batch)))


@pytest_asyncio.fixture(loop_scope="session")
async def family(configured: Configured, encoder_folder: Path) -> Counting:
    return await started(Counting(configured(encoder_folder)))


async def embedded(family: Embeddings, *texts: str, **fields: Any) -> EmbeddingResult:
    answer = await family.embed(EmbeddingRequest("tiny", texts, **fields))
    assert isinstance(answer, EmbeddingResult)
    return answer


def cosines(ours: Any, theirs: Any) -> Any:
    lengths = np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1)
    return (ours * theirs).sum(axis=1) / lengths


async def test_a_timed_call_tells_its_stages_and_its_neighbours(family: Counting) -> None:
    """Calls that arrive together are tokenized together, and share a forward."""
    asked = EmbeddingRequest("tiny", ("w1", "w2"))
    timed: Any = ContextualCall(asked, CallContext(), timed=True)
    answer: Any
    answer, _ = await asyncio.gather(family.embed(timed), embedded(family, "w3"))
    assert isinstance(answer.result, EmbeddingResult)
    assert len(answer.result.vectors) == 2
    stages = {stage.name: stage for stage in answer.timing.stages}
    assert list(stages) == ["tokenize", "queue", "forward"]
    assert (stages["tokenize"].items, stages["tokenize"].requests) == (3, 2)
    assert (stages["forward"].items, stages["forward"].requests) == (3, 2)
    assert 0 <= stages["forward"].began < answer.timing.seconds
    assert recorder_here() is None


class Poisoned(Embeddings):
    """Its device fails when the test says so, and for every forward from then on."""

    lost = False

    def __init__(self, config: FamilyConfig) -> None:
        super().__init__(config)
        watch_batches(self, self._fail_when_lost)

    def _fail_when_lost(self, batch: Sequence[TokenizedText]) -> None:
        if self.lost:
            raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")


async def test_a_replica_whose_device_is_lost_is_not_healthy(
    configured: Configured, encoder_folder: Path
) -> None:
    family = Poisoned(configured(encoder_folder, engine="torch"))
    assert len((await embedded(family, "w1", "w2")).vectors) == 2
    await family.check_health()
    family.lost = True
    answer = await embedded(family, *TEXTS)
    assert {problem.kind for problem in answer.problems.values()} == {"internal"}
    with pytest.raises(RuntimeError, match="the device is lost"):
        await family.check_health()


async def test_a_request_whose_tokens_do_not_fit_beside_what_waits_is_refused(
    configured: Configured, encoder_folder: Path
) -> None:
    family = Counting(configured(encoder_folder, {"max_waiting_bytes": 40_000, "batch_size": 1}))
    texts = tuple(tiny.text(number % 50, 1) for number in range(30))
    lists = [family.embed(EmbeddingRequest("tiny", texts)) for _ in range(4)]
    answers = await asyncio.gather(*lists)
    refused = [answer for answer in answers if isinstance(answer, Problem)]
    assert 0 < len(refused) < 4
    assert {answer.kind for answer in refused} == {"overloaded"}
    (model,) = (loaded.model for loaded in family._models.loaded)
    assert (model.lane.depth, model.lane._scheduler.nbytes) == (0, 0)
    assert len((await embedded(family, *texts)).vectors) == 30


async def test_vectors_are_those_of_sentence_transformers(
    family: Counting, encoder_folder: Path
) -> None:
    from sentence_transformers import SentenceTransformer

    ours = await embedded(family, *TEXTS)
    theirs = SentenceTransformer(str(encoder_folder), device="cpu").encode(list(TEXTS))
    assert ours.vectors.dtype == np.float32
    assert ours.vectors == pytest.approx(theirs, abs=1e-5)


async def test_a_text_has_the_same_vector_alone_and_among_others(family: Counting) -> None:
    together = await embedded(family, *TEXTS)
    for text, vector, tokens in zip(TEXTS, together.vectors, together.tokens, strict=True):
        alone = await embedded(family, text)
        assert alone.vectors[0] == pytest.approx(vector, abs=1e-5)
        assert alone.tokens == (tokens,)
    assert together.tokens == (12, 3, 5, 4)
    assert len(np.unique(together.vectors.round(3), axis=0)) == len(TEXTS)


async def test_vectors_have_length_one_only_when_that_is_asked_for(family: Counting) -> None:
    unit = await embedded(family, *TEXTS, normalize=True)
    raw = await embedded(family, *TEXTS, normalize=False)
    assert np.linalg.norm(unit.vectors, axis=1) == pytest.approx(1.0, abs=1e-6)
    assert (np.linalg.norm(raw.vectors, axis=1) > 1.5).all()
    assert cosines(unit.vectors, raw.vectors) == pytest.approx(1.0, abs=1e-6)


async def test_fewer_dimensions_are_the_first_ones_scaled_anew(family: Counting) -> None:
    raw = await embedded(family, *TEXTS, normalize=False)
    cut = await embedded(family, *TEXTS, dimensions=5)
    assert cut.vectors.shape == (len(TEXTS), 5)
    assert np.linalg.norm(cut.vectors, axis=1) == pytest.approx(1.0, abs=1e-6)
    assert cosines(cut.vectors, raw.vectors[:, :5]) == pytest.approx(1.0, abs=1e-5)


async def test_more_dimensions_than_there_are_is_a_problem(family: Counting) -> None:
    answer = await family.embed(EmbeddingRequest("tiny", TEXTS, dimensions=65))
    assert isinstance(answer, Problem)
    assert (answer.kind, answer.field) == ("validation", "dimensions")
    assert "64" in answer.message


async def test_a_text_that_is_too_long_has_zeros_and_a_problem(family: Counting) -> None:
    answer = await embedded(family, TEXTS[0], TOO_LONG, TEXTS[1])
    whole = await embedded(family, TEXTS[0], TEXTS[1])
    assert set(answer.problems) == {1}
    assert not answer.vectors[1].any()
    assert answer.tokens == (12, 0, 3)
    assert answer.vectors[[0, 2]] == pytest.approx(whole.vectors, abs=1e-5)


async def test_truncating_embeds_the_start_of_a_long_text(family: Counting) -> None:
    long = await embedded(family, TOO_LONG, truncate=True)
    start = await embedded(family, tiny.text(*range(tiny.POSITIONS - 2)))
    assert long.problems == {}
    assert long.vectors == pytest.approx(start.vectors, abs=1e-6)


async def test_only_problems_leave_no_vectors(family: Counting) -> None:
    answer = await embedded(family, TOO_LONG, TOO_LONG, dimensions=5)
    assert set(answer.problems) == {0, 1}
    assert answer.vectors.shape == (2, 0)


async def test_a_request_bounds_the_texts_of_its_forwards(family: Counting) -> None:
    family.reconfigure({"max_forward_ms": 60_000})
    family.forwards.clear()
    await embedded(family, *[TEXTS[0]] * 8, batch_size=3)
    assert family.forwards == [3, 3, 2]


async def test_a_new_batch_size_reaches_the_forwards(family: Counting) -> None:
    family.reconfigure({"max_batch_size": 6, "max_forward_ms": 60_000})
    family.forwards.clear()
    await embedded(family, *[TEXTS[0]] * 8)
    assert family.forwards == [6, 2]


async def test_like_texts_are_in_one_cluster(family: Counting) -> None:
    texts = (tiny.text(1), tiny.text(40, 41, 42, 43), tiny.text(1), tiny.text(40, 41, 42, 43))
    answer = await family.cluster(ClusterRequest(EmbeddingRequest("tiny", texts), 2))
    assert isinstance(answer, ClusterResult)
    first, second, third, fourth = answer.labels
    assert first == third != second == fourth
    assert answer.centers.shape == (2, 64)
    assert answer.centers.dtype == np.float32


@pytest.mark.parametrize("several", [(1, 1, 1, 1), (1, 40, 1, 40), (1, 40, 41, 1)])
async def test_there_are_no_more_clusters_than_different_texts(
    family: Counting, several: tuple[int, ...]
) -> None:
    texts = tuple(tiny.text(each) for each in several)
    answer = await family.cluster(ClusterRequest(EmbeddingRequest("tiny", texts), 4))
    assert isinstance(answer, ClusterResult)
    different = len(set(several))
    assert len({(text, label) for text, label in zip(texts, answer.labels, strict=True)}) == (
        different
    )
    assert sorted(set(answer.labels)) == list(range(different))
    assert answer.centers.shape == (different, 64)


async def test_vectors_that_differ_by_rounding_alone_are_one() -> None:
    vectors = np.array([[1.0, 0.0], [1.0 - 1e-7, 0.0], [0.0, 1.0]], np.float32)
    clustered = _k_means(vectors, 3)
    assert clustered.labels[0] == clustered.labels[1] != clustered.labels[2]
    assert clustered.centers.shape == (2, 2)


async def test_a_text_that_cannot_be_embedded_cannot_be_clustered(family: Counting) -> None:
    request = EmbeddingRequest("tiny", (*TEXTS, TOO_LONG))
    answer = await family.cluster(ClusterRequest(request, 2))
    assert isinstance(answer, ClusterResult)
    assert (answer.labels, set(answer.problems)) == ((), {len(TEXTS)})


async def test_a_model_that_cannot_be_loaded_is_unavailable(
    configured: Configured, tmp_path: Path
) -> None:
    family = Embeddings(configured(tmp_path / "nowhere", pinned=False))
    request = EmbeddingRequest("tiny", TEXTS)
    for answer in (await family.embed(request), await family.cluster(ClusterRequest(request, 2))):
        assert isinstance(answer, Problem)
        assert answer.kind == "unavailable"
        assert "nowhere" not in answer.message


async def test_quantised_vectors_are_close_to_the_models_own(
    configured: Configured, encoder_folder: Path, quantization: str
) -> None:
    whole = Embeddings(configured(encoder_folder))
    small = Embeddings(configured(encoder_folder, quantization=quantization))
    ours, theirs = await embedded(small, *TEXTS), await embedded(whole, *TEXTS)
    likeness = cosines(ours.vectors, theirs.vectors)
    assert (likeness > 0.6).all()
    assert (likeness < 1 - 1e-7).any()


async def test_a_named_prompt_goes_before_every_text(
    configured: Configured, encoder_folder: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "prompted"
    shutil.copytree(encoder_folder, folder)
    settings = folder / "config_sentence_transformers.json"
    known = json.loads(settings.read_text()) | {"prompts": {"query": f"{TEXTS[1]} "}}
    settings.write_text(json.dumps(known))
    family = Embeddings(configured(folder))
    named = await embedded(family, TEXTS[2], prompt_name="query")
    written = await embedded(family, f"{TEXTS[1]} {TEXTS[2]}")
    assert named.vectors == pytest.approx(written.vectors, abs=1e-6)
    unknown = await family.embed(EmbeddingRequest("tiny", TEXTS, prompt_name="nothing"))
    assert isinstance(unknown, Problem)
    assert unknown.field == "prompt_name"
    assert "query" in unknown.message


async def test_the_first_preferred_prompt_that_the_model_has_is_used(
    configured: Configured, encoder_folder: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "prompted"
    shutil.copytree(encoder_folder, folder)
    settings = folder / "config_sentence_transformers.json"
    known = json.loads(settings.read_text()) | {"prompts": {"passage": f"{TEXTS[1]} "}}
    settings.write_text(json.dumps(known))
    family = Embeddings(configured(folder))
    preferring = await embedded(family, TEXTS[2], preferred_prompts=("document", "passage"))
    written = await embedded(family, f"{TEXTS[1]} {TEXTS[2]}")
    assert preferring.vectors == pytest.approx(written.vectors, abs=1e-6)
    plain = await embedded(family, TEXTS[2], preferred_prompts=("query",))
    assert plain.vectors == pytest.approx((await embedded(family, TEXTS[2])).vectors, abs=1e-6)
