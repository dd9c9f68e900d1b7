"""An engine in a process of its own fails, stops and ends as one in this process does."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields, replace
from inspect import signature
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import psutil
import pytest
from tokenizers import Tokenizer

from deployments.engine.interface import STOPPED, Engine, EngineNotLoaded, EngineStopped
from deployments.engine.own_process import client
from deployments.engine.own_process.client import open_engine_process
from deployments.engine.own_process.messages import EngineLaunch, EngineReady, Submission
from deployments.engine.prefix_counts import PrefixCounts
from deployments.engine.sequence import Sequence
from deployments.engine.settings import EngineSettings
from deployments.seam.generation import Grammar, Token
from tests.deployments.engine.reading import PATIENCE_S, Reader
from tests.deployments.engine.silent_process import SilentProcess
from tests.deployments.engine.tiny_models import generated, saved, tiny

SETTINGS = EngineSettings(slots=3, device="cpu", threads=1, own_process=True)
ENDLESS: dict[str, Any] = {"temperature": 0.0, "eos_ids": frozenset()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, byte_tokenizer: Tokenizer) -> Path:
    directory = tmp_path_factory.mktemp("llama")
    return saved(directory, tiny("llama", positions=4096), byte_tokenizer)


@pytest.fixture(scope="module")
def shared(folder: Path) -> Iterator[Engine]:
    engine = open_engine_process(folder, SETTINGS)
    yield engine
    engine.close()


def test_a_process_that_never_has_its_model_loaded_is_ended(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    silent = SilentProcess()
    monkeypatch.setattr(client, "ChildProcess", lambda *_: silent)
    with pytest.raises(EngineNotLoaded, match="said nothing"):
        open_engine_process(folder, replace(SETTINGS, load_timeout_s=0.01))
    assert silent.is_closed


def check_until_over(engine: Engine, reader: Reader) -> None:
    while not reader.over.wait(0.05):
        engine.check()


def test_its_texts_are_those_of_generate(shared: Engine) -> None:
    readers = [
        Reader(shared, [*range(1, 9 + number)], new=20, choice=number, **ENDLESS)
        for number in range(5)
    ]
    for reader in readers:
        reader.start()
    model = tiny("llama", positions=4096)
    for reader in readers:
        reader.wait()
        prompt = list(reader.sequence.prompt_ids)
        assert reader.ids == generated(model, prompt, 20, eos_token_id=None)
        assert reader.sequence.generated == reader.ids
    load = shared.load()
    assert (load.running, load.waiting, load.slots) == (0, 0, 3)


def test_whatever_a_sequence_is_given_reaches_the_process() -> None:
    given = set(signature(Sequence).parameters)
    here = {"codec", "on_token", "on_failure", "on_admitted"}
    crosses = {field.name for field in fields(Submission)} - {"number"}
    assert given - here - {"constraint"} == crosses - {"grammar"}


@pytest.mark.skipif(sys.platform != "linux", reason="reads the environment of another process")
def test_its_threads_wait_awake_for_a_moment_only_unless_the_operator_says_so(
    shared: Engine,
) -> None:
    assert shared.process_id is not None
    of_process = psutil.Process(shared.process_id).environ()
    assert of_process["GOMP_SPINCOUNT"] == os.environ.get("GOMP_SPINCOUNT", "2000")


def test_a_text_is_held_to_its_grammar_and_continued_under_it(shared: Engine) -> None:
    grammar = Grammar("regex", "(yes|no), (yes|no)")
    whole = Reader(shared, [1, 2, 3], new=40, grammar=grammar)
    assert whole.read() in ("yes, yes", "yes, no", "no, yes", "no, no")
    rest = Reader(shared, [1, 2, 3], new=40, grammar=grammar, resume_ids=tuple(whole.ids[:3]))
    rest.read()
    assert rest.ids == whole.ids[3:]


def test_a_callback_that_raises_fails_its_own_sequence_alone(shared: Engine) -> None:
    def fail(_: Token) -> None:
        raise LookupError

    failing = Reader(shared, [1, 2], new=3000, on_token=fail, **ENDLESS).start()
    other = Reader(shared, [1, 2], new=5, choice=1, **ENDLESS).start()
    assert failing.wait().problem is not None
    assert other.wait().problem is None
    assert len(other.tokens) == 5


def test_what_does_not_fit_the_window_is_refused_here(shared: Engine) -> None:
    with pytest.raises(ValueError, match="window"):
        Reader(shared, [1, 2], new=5000).start()


def test_it_decodes_after_many_cancels(shared: Engine) -> None:
    for number in range(20):
        reader = Reader(shared, [1, number], new=3000, **ENDLESS).start()
        if number % 2:
            assert reader.began.wait(PATIENCE_S)
        shared.cancel(reader.sequence)
        assert reader.problem is None
    assert len(Reader(shared, [1, 2], new=5, **ENDLESS).start().wait().tokens) == 5
    assert shared.load().running == 0


def test_a_killed_process_fails_its_sequences_and_the_check(folder: Path) -> None:
    engine = open_engine_process(folder, SETTINGS)
    reader = Reader(engine, [1, 2], new=4000, **ENDLESS).start()
    assert reader.began.wait(PATIENCE_S)
    os.kill(engine.process_id, signal.SIGKILL)
    assert reader.wait().problem == STOPPED
    with pytest.raises(EngineStopped, match="ended"):
        engine.check()
    with pytest.raises(EngineStopped):
        Reader(engine, [1, 2], new=4).start()
    engine.close()


def test_a_process_that_says_nothing_is_called_hung_and_can_be_closed(folder: Path) -> None:
    engine = open_engine_process(folder, replace(SETTINGS, hang_after_s=0.5))
    reader = Reader(engine, [1, 2], new=4000, **ENDLESS).start()
    assert reader.began.wait(PATIENCE_S)
    os.kill(engine.process_id, signal.SIGSTOP)
    with pytest.raises(EngineStopped, match="says nothing"):
        check_until_over(engine, reader)
    os.kill(engine.process_id, signal.SIGKILL)
    engine.close()
    assert reader.wait().problem == STOPPED


def test_closing_ends_the_process_and_what_it_decodes(folder: Path) -> None:
    engine = open_engine_process(folder, SETTINGS)
    reader = Reader(engine, [1, 2], new=4000, **ENDLESS).start()
    assert reader.began.wait(PATIENCE_S)
    engine.close()
    assert reader.wait().problem == STOPPED
    with pytest.raises(ProcessLookupError):
        os.kill(engine.process_id, 0)
    engine.close()


def test_it_ends_when_the_process_that_started_it_dies(folder: Path) -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-m", "deployments.engine.own_process.server", str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
        )
    connection = Connection(ours.detach())
    connection.send(EngineLaunch(str(folder), SETTINGS))
    assert isinstance(connection.recv(), EngineReady)
    connection.close()
    assert process.wait(PATIENCE_S) == 0


def test_a_folder_without_weights_is_a_clear_error(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(FileNotFoundError):
        open_engine_process(tmp_path / "nowhere", SETTINGS)
    for file in folder.glob("*.json"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    with pytest.raises(EngineNotLoaded, match="cannot load"):
        open_engine_process(tmp_path, SETTINGS)


def test_what_the_process_finds_in_its_prefix_cache_is_told(shared: Engine) -> None:
    prompt = [9, *range(100)]
    Reader(shared, prompt, new=2, **ENDLESS).read()
    before = shared.load().prefixes
    Reader(shared, prompt, new=2, **ENDLESS).read()
    after = shared.load().prefixes
    assert before is not None
    assert after is not None
    assert after.since(before) == PrefixCounts(queries=101, hits=96)
