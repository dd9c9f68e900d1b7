"""The choice of an encoder's engine, and that a process with OpenVINO does not load torch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from configs.profile import ModelSpec
from configs.settings import Settings
from configs.weights import Export, FolderSource
from deployments.encoders import openvino
from deployments.encoders.backends import NotExportedError, choose_backend, open_network
from deployments.models.config import FamilyConfig
from tests.deployments.encoders.conftest import Exported

ROOT = Path(__file__).resolve().parents[3]
FASTER = Export(Path("export"), faster="openvino")
SLOWER = Export(Path("export"), faster="torch")
REFUSED = Export(None, "it answers differently from torch")

# Each of the four families, constructed and asked. ``ray`` is asked only for what is around a
# replica, which there is none of.
CHILD = """
import asyncio, sys
from importlib import import_module
from types import SimpleNamespace

import ray.serve

from configs.profile import load_settings
from configs.profile_file import load_profile
from deployments.models.config import FamilyConfig
from deployments.seam.classification import ClassificationRequest
from deployments.seam.embeddings import EmbeddingRequest
from deployments.seam.entities import EntityRequest
from deployments.seam.reranking import RerankRequest

context = SimpleNamespace(_deployment_config=SimpleNamespace(max_ongoing_requests=64))
ray.serve.get_replica_context = lambda: context
TEXTS = ("Anna lives in Berlin", "a b c")
ASKED = {
    "embeddings": ("embed", lambda model: EmbeddingRequest(model, TEXTS)),
    "classification": ("classify", lambda model: ClassificationRequest(model, TEXTS)),
    "reranking": ("rerank", lambda model: RerankRequest(model, "Berlin", TEXTS)),
    "entities": ("recognise", lambda model: EntityRequest(model, TEXTS)),
}

async def main(name):
    profile = load_profile("embedded")
    family = next(family for family in profile.families if family.name == name)
    models = tuple(m.model_copy(update={"engine": "openvino"}) for m in family.models)
    module, _, deployment = family.deployment.partition(":")
    config = FamilyConfig(name, models, load_settings(profile))
    replica = getattr(import_module(module), deployment)(config)
    method, request = ASKED[name]
    answer = await getattr(replica, method)(request(models[0].name))
    (holding,) = replica._models.statuses()
    print(type(answer).__name__, holding.engine, holding.host_bytes > 2**20)
    print(sorted({"torch", "transformers", "sentence_transformers"} & set(sys.modules)))

asyncio.run(main(sys.argv[1]))
"""


class Config(FamilyConfig):
    """A family whose model was converted and measured before."""

    __slots__ = ()
    found: Export

    def export(self, model: ModelSpec, head: Any) -> Export:
        return self.found

    def folder(self, model: ModelSpec) -> Path:
        return Path("checkpoint")


def config(found: Export, gpu_fraction: float = 0.0, **settings: Any) -> FamilyConfig:
    kind = type("Known", (Config,), {"found": found, "__slots__": ()})
    made: FamilyConfig = kind("family", (), Settings(**settings), gpu_fraction)
    return made


def spec(**fields: Any) -> ModelSpec:
    source = FolderSource(folder=Path("checkpoint"))
    return ModelSpec(name="tiny", **({"tasks": ("embed",), "source": source} | fields))


@pytest.mark.parametrize(
    ("found", "engine"), [(FASTER, "openvino"), (SLOWER, "torch"), (REFUSED, "torch")]
)
def test_the_faster_engine_runs_a_model_and_torch_what_openvino_refuses(
    found: Export, engine: str
) -> None:
    choice = choose_backend(config(found), spec(), "embedding")
    assert choice.engine == engine
    assert choice.folder == Path("export" if engine == "openvino" else "checkpoint")


@pytest.mark.parametrize(
    "fields",
    [
        {"engine": "torch"},
        {"quantization": "int8"},
        {"trust_remote_code": True},
        {"dtype": "bfloat16"},
        {"tasks": ("summarize",)},
    ],
)
def test_models_that_only_torch_can_run_are_never_exported(fields: dict[str, Any]) -> None:
    assert choose_backend(config(FASTER), spec(**fields), "embedding").engine == "torch"


def test_the_faster_engine_is_that_of_the_dtype() -> None:
    bfloat16 = Export(Path("export"), faster="openvino", faster_in_float32="torch")
    assert choose_backend(config(bfloat16), spec(), "embedding").engine == "openvino"
    assert choose_backend(config(bfloat16), spec(dtype="float32"), "embedding").engine == "torch"
    assert choose_backend(config(FASTER), spec(dtype="float32"), "embedding").engine == "openvino"


def test_a_profile_that_demands_openvino_gets_it_though_it_is_slower() -> None:
    assert choose_backend(config(SLOWER), spec(engine="openvino"), "embedding").engine == "openvino"


def test_a_profile_that_demands_openvino_is_told_why_it_cannot_run() -> None:
    with pytest.raises(NotExportedError, match="tiny: it answers differently"):
        choose_backend(config(REFUSED), spec(engine="openvino"), "embedding")


@pytest.mark.parametrize(
    ("dtype", "native", "hint"),
    [("auto", True, "bf16"), ("auto", False, "f32"), ("float32", True, "f32")],
)
def test_openvino_computes_in_the_dtype_that_a_profile_names(
    dtype: str,
    native: bool,
    hint: str,
    exported: Exported,
    encoder_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = Export(exported(encoder_folder, "embedding")[0], faster="openvino")
    given: list[Any] = []
    make = openvino.properties

    def properties(*asked: Any) -> Any:
        given.append(make(*asked))
        return {**given[-1], "INFERENCE_PRECISION_HINT": "f32"}  # what every processor takes

    monkeypatch.setattr(openvino, "native_bfloat16", lambda core: native)
    monkeypatch.setattr(openvino, "properties", properties)
    assert open_network(config(found), spec(dtype=dtype), "embedding").engine == "openvino"
    assert [each["INFERENCE_PRECISION_HINT"] for each in given] == [hint]


def test_a_gpu_is_taken_by_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert choose_backend(config(FASTER, gpu_fraction=0.5), spec(), "embedding").engine == "torch"
    on_cpu = config(FASTER, gpu_fraction=0.5, device="cpu")
    assert choose_backend(on_cpu, spec(), "embedding").engine == "openvino"


@pytest.mark.parametrize("family", ["embeddings", "classification", "reranking", "entities"])
def test_a_replica_on_openvino_answers_without_torch(family: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CHILD, family], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    answered, imported = done.stdout.splitlines()[-2:]
    assert answered.split()[1:] == ["openvino", "True"]
    assert answered.split()[0] != "Problem"
    assert imported == "[]"
