"""What computes runs after what answers; an answer's own event loop keeps its priority."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from deployments.embeddings import Embeddings
from deployments.engine.factory import open_engine
from deployments.engine.interface import Engine
from deployments.engine.settings import EngineSettings
from deployments.models.thread_priority import NICENESS, lower_thread_priority
from deployments.seam.embeddings import EmbeddingRequest
from tests.deployments import tiny
from tests.deployments.conftest import Configured
from tests.deployments.engine.conftest import smollm2
from tests.deployments.engine.reading import Reader
from tests.deployments.families import started

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux gives a thread a priority of its own"
)

USUAL = os.getpriority(os.PRIO_PROCESS, 0)
EXPECTED = max(USUAL, NICENESS)


def niceness_of(thread: int) -> int:
    return os.getpriority(os.PRIO_PROCESS, thread)


def threads() -> set[int]:
    """All of this process, those of libraries too."""
    return {int(task.name) for task in Path("/proc/self/task").iterdir()}


def nicenesses(some: set[int]) -> set[int]:
    """Of those that are still there."""
    found = set()
    for thread in some:
        with suppress(ProcessLookupError):
            found.add(niceness_of(thread))
    return found


def lane_threads() -> set[int]:
    found = (each for each in threading.enumerate() if each.name.startswith("lane-tiny"))
    return {each.native_id for each in found if each.native_id}


def test_it_is_of_one_thread_and_of_what_that_begins() -> None:
    def inside() -> tuple[int, int, int]:
        lower_thread_priority()
        lower_thread_priority()
        with ThreadPoolExecutor(1) as inner:
            of_thread = inner.submit(lambda: niceness_of(threading.get_native_id())).result()
        command = [sys.executable, "-c", "import os; print(os.getpriority(os.PRIO_PROCESS, 0))"]
        of_process = int(subprocess.check_output(command))
        return niceness_of(threading.get_native_id()), of_thread, of_process

    with ThreadPoolExecutor(1) as outer:
        assert outer.submit(inside).result() == (EXPECTED, EXPECTED, EXPECTED)
    assert niceness_of(threading.get_native_id()) == USUAL


def test_who_gave_way_further_stays_there() -> None:
    further = max(USUAL, NICENESS + 5)

    def inside() -> int:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), further)
        lower_thread_priority()
        return niceness_of(threading.get_native_id())

    with ThreadPoolExecutor(1) as outer:
        assert outer.submit(inside).result() == further


@pytest.mark.asyncio(loop_scope="session")
@pytest.mark.usefixtures("in_replica")
@pytest.mark.parametrize("engine", ["openvino", "torch"])
async def test_an_encoder_computes_after_the_event_loop(
    configured: Configured, encoder_folder: Path, engine: str
) -> None:
    before, lanes = threads(), lane_threads()
    family = Embeddings(configured(encoder_folder, {"threads": 2}, engine=engine))
    await family.embed(EmbeddingRequest("tiny", (tiny.text(1, 2),)))
    new_lanes = lane_threads() - lanes
    assert {niceness_of(thread) for thread in new_lanes} == {EXPECTED}
    if engine == "openvino":  # whose own threads multiply
        assert EXPECTED in nicenesses(threads() - before - new_lanes)
    assert niceness_of(threading.get_native_id()) == USUAL


@pytest.mark.asyncio(loop_scope="session")
@pytest.mark.usefixtures("in_replica")
async def test_openvino_needs_no_other_device_that_others_are_told_to_take(
    configured: Configured, encoder_folder: Path
) -> None:
    lanes = lane_threads()
    config = configured(encoder_folder, {"device": "cuda"}, engine="openvino")
    await started(Embeddings(config))
    assert {niceness_of(thread) for thread in lane_threads() - lanes} == {EXPECTED}


def test_decoding_on_the_cpu_gives_way_too() -> None:
    genai = open_engine("openvino", smollm2("gguf-tokenizer"), EngineSettings(slots=1, threads=1))
    try:
        assert genai.process_id is not None
        assert niceness_of(genai.process_id) == EXPECTED
    finally:
        genai.close()


def test_torch_decodes_on_a_thread_that_gives_way() -> None:
    before = threads()
    engine: Engine = open_engine(
        "torch", smollm2("gguf-safetensors"), EngineSettings(device="cpu", threads=1)
    )
    try:
        Reader(engine, "Hello", new=1).read()
        names = {each.native_id: each.name for each in threading.enumerate()}
        decoding = [t for t in threads() - before if names.get(t) == "engine"]
        assert [niceness_of(thread) for thread in decoding] == [EXPECTED]
    finally:
        engine.close()
