"""Load tests' clients against the running graph: GuideLLM, and the requests of vLLM's bench."""

from __future__ import annotations

import os
import subprocess
import tarfile
from pathlib import Path

from bench.peers.weights import CHAT_FLOAT32, folder_of
from tests.long.client_environment import CACHE, SETUP_LIMIT_S, python_of, run_tests

VLLM = "0.33.0"
BENCH = f"vllm-{VLLM}/vllm/benchmarks/lib/endpoint_request_func.py"
# vLLM's source archive alone, without compiling; pip asks its build for the version, and no more.
ARCHIVE = ["--no-deps", "--no-build-isolation", "--no-binary", "vllm", f"vllm=={VLLM}"]
UNBUILT = {"VLLM_TARGET_DEVICE": "empty", "VLLM_VERSION_OVERRIDE": VLLM}


def vllm_bench() -> Path:
    """The module of vLLM's that makes the requests of its bench, fetched once."""
    place = CACHE / "vllm"
    if not (place / BENCH).exists():
        python = python_of("load", beside_ours=True)
        subprocess.run(
            [python, "-m", "pip", "download", "--quiet", "--dest", place, *ARCHIVE],
            check=True,
            env=os.environ | UNBUILT,
            timeout=SETUP_LIMIT_S,
        )
        archive = place / f"vllm-{VLLM}.tar.gz"
        with tarfile.open(archive) as opened:
            opened.extract(BENCH, place, filter="data")
        archive.unlink()
    return place / BENCH


def test_load_tests(base_url: str) -> None:
    run_tests(
        "load",
        base_url,
        beside_ours=True,
        PRSM_CLIENTS_WEIGHTS=str(folder_of(CHAT_FLOAT32)),
        PRSM_VLLM_BENCH=str(vllm_bench()),
    )
