"""Runs libraries without a server, each in a process of its own.

Their speed on the same texts is the most that a server around them can reach. The process lives
across measurements; it reads a load as a line of JSON and answers with a sample of each request.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, TextIO

import orjson

from bench.pairs import tell
from bench.peers.running import end
from bench.peers.weights import CHAT, CHAT_FLOAT32, VECTORS, dtype_of, folder_of
from serve_app.load.figures import LoadFigures, RequestSample, figures
from serve_app.load.load import Load
from serve_app.load.request_kinds import KINDS, request_body
from serve_app.load.texts import texts_of

ANSWER_LIMIT_S = 120.0
Work = Callable[[list[Any], Load], list[RequestSample]]
"""Executes requests, given by their bodies."""


@dataclass(frozen=True)
class Library:
    """A library in a running process."""

    name: str
    process: subprocess.Popen[str]

    def run(self, load: Load) -> LoadFigures:
        """Run one load. Raises ``RuntimeError`` when the process ended."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(asdict(load)) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name} ended")
        samples = [RequestSample(**each) for each in json.loads(line)]
        return figures(samples, clients=load.clients, unit=KINDS[load.what].unit)


@contextlib.contextmanager
def library(name: str) -> Iterator[Library]:
    """Start the library ``name`` of ``LIBRARIES`` in a process of its own, and end it."""
    command = [sys.executable, "-m", "bench.peers.inprocess", name]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1"}
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    )
    try:
        began = time.monotonic()
        assert process.stdout is not None
        if not process.stdout.readline():
            raise RuntimeError(f"{name} did not load")
        tell(f"{name} is loaded after {time.monotonic() - began:.0f} s")
        yield Library(name, process)
    finally:
        end(process)


def sentence_transformers() -> Work:
    """``encode`` with batches of 32, which it sorts by length."""
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(folder_of(VECTORS)), device="cpu", local_files_only=True)

    def encode(bodies: list[Any], load: Load) -> list[RequestSample]:
        texts = [text for body in bodies for text in body["input"]]
        began = time.perf_counter()
        model.encode(texts, batch_size=32, normalize_embeddings=True)
        ended = time.perf_counter()
        return [RequestSample(began, ended, units=len(body["input"])) for body in bodies]

    return encode


def generate() -> Work:
    """``model.generate`` in float32: static batches of as many as there are clients."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = str(folder_of(CHAT_FLOAT32))
    tokenizer: Any = AutoTokenizer.from_pretrained(folder, padding_side="left")
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    model.eval()

    def write(bodies: list[Any], load: Load) -> list[RequestSample]:
        samples: list[RequestSample] = []
        for start in range(0, len(bodies), load.clients):
            began = time.perf_counter()
            messages = [body["messages"] for body in bodies[start : start + load.clients]]
            batch = tokenizer.apply_chat_template(
                messages,
                add_generation_prompt=True,
                padding=True,
                return_tensors="pt",
                return_dict=True,
            )
            with torch.inference_mode():
                written = model.generate(**batch, do_sample=False, max_new_tokens=load.new_tokens)
            new = written[:, batch["input_ids"].shape[1] :]
            units = (new != tokenizer.pad_token_id).sum(dim=1).tolist()
            ended = time.perf_counter()
            samples += [RequestSample(began, ended, units=each) for each in units]
        return samples

    return write


def engine(dtype: str | None = None) -> Work:
    """Our OpenVINO engine without Serve and HTTP; each client sends its next request when done.

    It computes in ``dtype``, or in the one that the service computes in here.
    """
    from deployments.engine.factory import open_engine
    from deployments.engine.sequence import Sequence
    from deployments.engine.settings import EngineSettings
    from deployments.seam.generation import ChatMessage, Sampling, Token
    from deployments.seam.problems import Problem

    opened = open_engine(
        "openvino", folder_of(CHAT), EngineSettings(window=8192, dtype=dtype or dtype_of(CHAT))
    )

    def one(body: Any) -> RequestSample:
        times: list[float] = []
        problems: list[Problem] = []
        over = threading.Event()

        def deliver(token: Token) -> None:
            times.append(time.perf_counter())
            if token.finish_reason is not None:
                over.set()

        def fail(problem: Problem) -> None:
            problems.append(problem)
            over.set()

        began = time.perf_counter()
        messages = [ChatMessage(each["role"], each["content"]) for each in body["messages"]]
        opened.submit(
            Sequence(
                codec=opened.codec,
                prompt_ids=opened.codec.encode_chat(messages),
                sampling=Sampling(temperature=body["temperature"]),
                max_new_tokens=body["max_tokens"],
                on_token=deliver,
                on_failure=fail,
            )
        )
        if not over.wait(ANSWER_LIMIT_S) or problems:
            raise RuntimeError(f"the engine failed: {problems}")
        return RequestSample(began, times[-1], len(times), first_s=times[0], last_s=times[-1])

    def write(bodies: list[Any], load: Load) -> list[RequestSample]:
        with ThreadPoolExecutor(load.clients) as clients:
            return list(clients.map(one, bodies))

    return write


ENGINE_DTYPES = ("float32", "bfloat16", "dynamic-int8")

LIBRARIES: dict[str, Callable[[], Work]] = {
    "sentence-transformers": sentence_transformers,
    "model.generate": generate,
    "our engine": engine,
    **{f"our engine in {dtype}": partial(engine, dtype) for dtype in ENGINE_DTYPES},
}


def main(name: str, answers: TextIO) -> None:
    """Load the library, write a line, and run loads until the input ends."""
    work = LIBRARIES[name]()
    answers.write("loaded\n")
    answers.flush()
    for line in sys.stdin:
        load = Load(**json.loads(line))
        texts = texts_of(load.texts, load.seed)
        bodies = [orjson.loads(request_body(load, texts)) for _ in range(load.requests)]
        answers.write(json.dumps([asdict(each) for each in work(bodies, load)]) + "\n")
        answers.flush()


if __name__ == "__main__":
    # Libraries print to standard output; that goes to standard error, apart from the answers.
    with os.fdopen(os.dup(1), "w") as kept:
        os.dup2(2, 1)
        main(sys.argv[1], kept)
        os._exit(0)  # do not wait for threads of libraries
