from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence as Listed
from pathlib import Path

import pytest

from bench import gpu, gpu_sides
from deployments.engine.interface import Engine

ROOT = Path(__file__).parents[2]

ABSENT = (
    "ray", "openvino", "openvino_genai", "llguidance", "prometheus_client", "fastapi", "starlette",
    "sqlalchemy", "cachetools", "pydantic", "pydantic_settings", "psutil", "click", "rich",
    "serve_app",
)  # fmt: skip
"""What a bare machine with a GPU need not have."""

TRIAL = "--device cpu --models tiny --clients 1,3 --new 6 --window 64 --rounds 1 --no-continuous"


def test_a_trial_on_the_cpu_passes_its_checks_and_prints_a_table(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert gpu.main(TRIAL.split()) == 0
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.startswith("  ok") for line in lines) == 6
    assert [line.split()[0] for line in lines[-2:]] == ["1", "3"]


def test_a_wrong_token_fails_the_checks(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def wrong(engine: Engine, prompts: Listed[list[int]], new: int) -> list[list[int]]:
        texts = gpu_sides.written(engine, prompts, new)
        texts[-1][2] = (texts[-1][2] + 1) % 256
        return texts

    monkeypatch.setattr(gpu, "written", wrong)
    assert gpu.main([*TRIAL.split(), "--clients", "1"]) == 1
    assert "FAILED default" in capsys.readouterr().out


SERVICE = (
    "ray",
    "openvino",
    "openvino_genai",
    "prometheus_client",
    "fastapi",
    "sqlalchemy",
    "xdist",
)
"""What the tests of the torch engine need not have either."""

TESTS = (
    "tests.conftest", "tests.deployments.conftest", "tests.deployments.engine.conftest",
    "tests.deployments.engine.test_torch_runner", "tests.deployments.engine.test_paged_kv_cache",
    "tests.deployments.engine.test_cuda_graphs", "tests.deployments.engine.test_overlap",
)  # fmt: skip


@pytest.mark.parametrize(
    ("absent", "modules"), [(ABSENT, ("bench.gpu",)), (SERVICE, TESTS)], ids=["bench", "tests"]
)
def test_the_bench_and_the_engines_tests_import_nothing_of_the_service(
    absent: tuple[str, ...], modules: tuple[str, ...]
) -> None:
    code = f"import sys; sys.modules.update(dict.fromkeys({absent!r})); import {', '.join(modules)}"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
