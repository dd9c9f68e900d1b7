"""A stream of any surface that loses its replicas is, event by event, the one that lost none."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from ray.exceptions import RayActorError
from tokenizers import Tokenizer

from bench.chaos.reading import Ending, StreamAnswer, read
from bench.chaos.requests import StreamRequest, mixed
from configs.profile import ModelSpec
from configs.settings import Settings
from configs.weights import FolderSource
from deployments.generation import Generation
from deployments.models.config import FamilyConfig
from tests.deployments.engine.tiny_models import opened, saved, tiny
from tests.deployments.families import started
from tests.serve_app import house
from tests.serve_app.house import FULL

TOKENS = 16
WINDOW = 512
TEMPLATE = "{% for message in messages %}{{ message.content }}{% endfor %}"


class LossyGeneration:
    """Generation whose replica is lost after each ``chunks`` chunks of a stream, ``losses`` times.

    The lost replica has decoded further than what was delivered, as one that is killed.
    """

    def __init__(self, family: Generation, chunks: int, losses: int) -> None:
        self._family = family
        self._chunks = chunks
        self._losses = losses
        self.lost = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._family, name)

    async def stream(self, call: Any) -> AsyncIterator[Any]:
        left = self._chunks
        async for item in self._family.stream(call):
            if left == 0 and self.lost < self._losses:
                self.lost += 1
                raise RayActorError(error_msg="killed")
            left -= 1
            yield item


def every_kind() -> list[StreamRequest]:
    """One request of each kind of the load of ``bench.chaos``: a forced tool call, and a schema."""
    kinds = {each.kind: each for each in mixed(FULL, TOKENS)}
    schema = next(each for each in mixed(FULL, TOKENS) if each.kind == "schema")
    return [*kinds.values(), schema]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, byte_tokenizer: Tokenizer) -> Path:
    return saved(tmp_path_factory.mktemp("tiny"), tiny("llama", WINDOW).eval(), byte_tokenizer)


@pytest.fixture
async def generation(folder: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Generation]:
    engine = opened(folder, slots=8, chat_template=TEMPLATE)
    monkeypatch.setattr("deployments.engine.engine_loader.open_engine", lambda *_: engine)
    spec = ModelSpec(
        name=FULL,
        source=FolderSource(folder=folder),
        tasks=("generate", "chat"),
        engine="torch",
        pinned=True,
    )
    settings = Settings(device="cpu", threads=1, hf_cache_dir=folder.parent)
    yield await started(Generation(FamilyConfig("generation", (spec,), settings)))
    engine.close()


async def answered(family: object, request: StreamRequest, folder: Path) -> StreamAnswer:
    app = house.app({"generation": family}, hf_cache_dir=str(folder))  # type: ignore[dict-item]
    transport = httpx.ASGITransport(app)
    answer = StreamAnswer(request)
    async with httpx.AsyncClient(transport=transport, base_url="http://house") as client:
        await read(client, answer)
    return answer


async def test_every_stream_is_the_same_whatever_replicas_it_loses(
    generation: Generation, folder: Path
) -> None:
    for request in every_kind():
        whole = await answered(generation, request, folder)
        assert whole.ending is Ending.WHOLE, f"{request.kind}: {whole.detail}"
        lossy = LossyGeneration(generation, 2, 3)
        found = await answered(lossy, request, folder)
        assert lossy.lost, f"{request.kind}: no replica was lost"
        assert found.ending is Ending.WHOLE, f"{request.kind}: {found.detail}"
        assert found.events == whole.events, request.kind
