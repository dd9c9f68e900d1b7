"""A family of one's own: weights, batches and the model cache come from the parts it is made of."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from fastapi import FastAPI
from transformers import GPT2Config, GPT2LMHeadModel

from configs.profile import Profile, load_settings
from configs.profile_file import load_profile
from deployments.seam.problems import Problem
from deployments.seam.replicas import ModelOrder, ReplicaReport, UnloadResult
from serve_app.ingress.app import create_app, routers_of
from serve_app.ingress.catalog import Catalog
from serve_app.ingress.cluster.deployment_client import DeploymentClient
from serve_app.ingress.routes.context import Services
from serve_app.registry.checks import broken_code
from tests.deployments import tiny
from tests.deployments.conftest import Configured
from tests.deployments.families import started
from tests.deployments.metrics.reading import figures
from tests.serve_app import house
from tests.serve_app.local_handle import LocalHandle
from tests.toy.perplexity import Perplexity, PerplexityRequest, PerplexityResult

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.usefixtures("in_replica")]

PROFILE = Path(__file__).parents[1] / "toy" / "perplexity.yaml"
TEXTS = (tiny.text(*range(10)), tiny.text(3), tiny.text(20, 21, 22), tiny.text(3, 4))
TOO_LONG = tiny.text(*range(40))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    made: Any = GPT2Config  # untyped
    config = made(
        vocab_size=len(tiny.SPECIAL) + len(tiny.WORDS),
        n_positions=tiny.POSITIONS,
        n_embd=32,
        n_layer=1,
        n_head=2,
        initializer_range=0.5,
    )
    return tiny.saved(tmp_path_factory.mktemp("gpt2") / "model", GPT2LMHeadModel(config))


async def measured(family: Perplexity, *texts: str, **fields: Any) -> PerplexityResult:
    answer = await family.measure(PerplexityRequest("tiny", texts, **fields))
    assert isinstance(answer, PerplexityResult)
    return answer


@torch.inference_mode()
def expected(folder: Path, text: str) -> float:
    model: Any = GPT2LMHeadModel.from_pretrained(folder)
    ids = tiny.tokenizer()(text, return_tensors="pt").input_ids
    return float(model.eval()(input_ids=ids, labels=ids).loss.exp())


async def test_perplexities_are_those_of_transformers_whatever_shares_the_batch(
    configured: Configured, folder: Path
) -> None:
    family = await started(Perplexity(configured(folder)))
    together = await measured(family, *TEXTS)
    assert together.items == pytest.approx([expected(folder, text) for text in TEXTS], rel=1e-4)
    assert together.tokens == (12, 3, 5, 4)
    alone = [(await measured(family, text)).items[0] for text in TEXTS]
    assert together.items == pytest.approx(alone, rel=1e-4)


async def test_a_text_that_is_too_long_fails_alone(configured: Configured, folder: Path) -> None:
    family = Perplexity(configured(folder))
    (long, good) = (await measured(family, TOO_LONG, TEXTS[0])).items
    assert isinstance(long, Problem)
    assert isinstance(good, float)
    (cut,) = (await measured(family, TOO_LONG, truncate=True)).items
    assert isinstance(cut, float)


async def test_its_models_load_on_demand_and_by_order(configured: Configured, folder: Path) -> None:
    family = await started(Perplexity(configured(folder, pinned=False)))
    assert (await family.loaded_models(None)).models == ()
    await asyncio.gather(*(measured(family, text) for text in TEXTS))
    (status,) = (await family.loaded_models(None)).models
    assert (status.model, status.stage) == ("tiny", "warm")
    assert isinstance(await family.unload_model(ModelOrder("tiny", 30)), UnloadResult)
    assert (await family.loaded_models(None)).models == ()
    assert isinstance(await family.load_model(ModelOrder("tiny", 30)), ReplicaReport)


async def test_a_model_that_cannot_be_loaded_is_a_problem(
    configured: Configured, tmp_path: Path
) -> None:
    family = Perplexity(configured(tmp_path / "nowhere", pinned=False))
    answer = await family.measure(PerplexityRequest("tiny", TEXTS))
    assert isinstance(answer, Problem)
    assert answer.kind == "unavailable"


async def test_its_batches_are_bounded_while_it_runs(configured: Configured, folder: Path) -> None:
    family = await started(Perplexity(configured(folder)))
    family.reconfigure({"max_batch_size": 2})
    limits = (await family.loaded_models(None)).limits
    assert limits is not None
    assert limits.in_force["max_batch_size"] == 2
    assert len((await measured(family, *TEXTS)).items) == len(TEXTS)


@pytest.fixture
async def app(configured: Configured, folder: Path) -> FastAPI:
    """The application of the toy's profile, over its deployment with a tiny model."""
    content = yaml.safe_load(PROFILE.read_text())
    content["families"][0]["models"] = [
        {"name": "tiny", "tasks": ["perplexity"], "pinned": True, "source": {"folder": str(folder)}}
    ]
    profile = Profile.model_validate(content)
    assert broken_code(profile) == []
    settings = load_settings(profile)
    family = await started(Perplexity(configured(folder)))
    client = DeploymentClient({"perplexity": LocalHandle(family)}, settings.request_timeout_s)
    services = Services(Catalog(profile, settings), client, settings, house.Ready())
    return create_app(services, routers_of(profile))


async def test_its_route_answers_text_by_text(app: FastAPI, folder: Path) -> None:
    body = {"texts": [TEXTS[0], "", TOO_LONG]}
    good, empty, long = (await house.post(app, f"{house.NATIVE}/perplexity", body)).json()
    assert good == {
        "text": TEXTS[0],
        "perplexity": pytest.approx(expected(folder, TEXTS[0]), rel=1e-4),
    }
    assert empty["error"]["message"] == "the text is empty"
    assert "tokens" in long["error"]["message"]


async def test_its_task_is_a_step_and_is_metered_with_its_tokens(app: FastAPI) -> None:
    step = {"id": "p", "task": "perplexity", "inputs": {"texts": TEXTS[0]}}
    answer = (await house.post(app, f"{house.NATIVE}/graph", {"steps": [step]})).json()
    assert answer["outputs"]["p"]["perplexity"] > 1
    counted = figures((await house.get(app, "/metrics")).text)
    assert counted["tokens_in_total", "tiny", "perplexity"] == 12


async def test_its_profile_is_valid() -> None:
    load_profile(PROFILE, broken_code)
