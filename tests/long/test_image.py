"""The steps of the Dockerfile, in a clean virtual environment instead of an image.

Everything but Debian's packages: what pip installs, by the file's own commands, and what it makes.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "deploy" / "Dockerfile"
PREFIX = "/opt/prsm-serve"
LIMIT_S = 840.0
DEBIAN = ("apt-get ", "rm -rf /var/lib/apt")


def steps() -> Iterator[tuple[str, str]]:
    """The instructions of the build stage, each as its name and arguments."""
    text = DOCKERFILE.read_text().replace("\\\n", "")
    stage = text.partition(" AS build\n")[2].partition("\nFROM ")[0]
    for line in stage.splitlines():
        if line and not line.startswith("#"):
            name, _, arguments = line.partition(" ")
            yield name, arguments


def without_debian(command: str) -> str:
    """A RUN's command without the parts that install Debian's packages."""
    parts = re.split(r"\s*&&\s*", command)
    return " && ".join(part for part in parts if not part.startswith(DEBIAN))


class Build:
    """A build below ``folder``, where ``/opt/prsm-serve`` and the working directory are."""

    def __init__(self, folder: Path) -> None:
        self.prefix = folder / "opt"
        self.source = folder / "src"
        self.source.mkdir()
        base = Path(sys.base_prefix) / "bin"
        kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        self.environment = {**kept, "PATH": f"{base}:/usr/bin:/bin"}

    def run(self, name: str, arguments: str) -> None:
        if name == "ARG":
            key, _, value = arguments.partition("=")
            self.environment.setdefault(key, value)
        elif name == "ENV":
            for key, value in re.findall(r"(\w+)=(\S+)", arguments):
                self.environment[key] = self.moved(value).replace("$PATH", self.environment["PATH"])
        elif name == "COPY":
            self.copy(*arguments.split())
        elif name == "RUN":
            self.shell(self.moved(without_debian(arguments)))
        else:
            assert name in {"SHELL", "WORKDIR"}

    def moved(self, text: str) -> str:
        return text.replace(PREFIX, str(self.prefix))

    def copy(self, *paths: str) -> None:
        *sources, to = paths
        for each in sources:
            source, target = ROOT / each, self.source / to
            if source.is_dir():
                shutil.copytree(source, target)
            else:
                shutil.copy(source, target)

    def shell(self, command: str) -> None:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command],
            cwd=self.source,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=LIMIT_S,
        )
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]

    def output(self, *command: str) -> str:
        """What a command of the environment prints, far from the repository."""
        made = {**self.environment, "PRSM_HF_HF_CACHE_DIR": str(self.prefix / "cache")}
        done = subprocess.run(
            [str(self.prefix / "venv" / "bin" / command[0]), *command[1:]],
            cwd=self.prefix,
            env=made,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Build]:
    made = Build(tmp_path_factory.mktemp("image"))
    for name, arguments in steps():
        made.run(name, arguments)
    yield made
    shutil.rmtree(made.prefix)


def test_the_service_works_without_the_repository(build: Build) -> None:
    assert "embedded: valid" in build.output("prsm-serve", "check")
    assert "SmolLM2-135M-Instruct" in build.output("prsm-serve", "models", "--json")


def test_the_versions_are_those_of_the_constraints(build: Build) -> None:
    pinned = set((ROOT / "constraints.txt").read_text().lower().replace("_", "-").splitlines())
    frozen = build.output("pip", "freeze", "--exclude", "prsm-serve").lower().replace("_", "-")
    installed = {re.sub(r"\+cpu$", "", line) for line in frozen.splitlines()}
    assert len(installed) > 80
    assert installed <= pinned


def test_no_tool_of_the_tests_is_in_it(build: Build) -> None:
    installed = build.output("pip", "list", "--format", "freeze").lower()
    assert not re.search(r"^(pytest|mypy|ruff|hadolint)", installed, re.MULTILINE)


def test_haproxys_script_runs(build: Build) -> None:
    script = build.prefix / "haproxy" / "haproxy"
    version = subprocess.run([script, "-v"], capture_output=True, text=True, check=True)
    assert "HAProxy version" in version.stdout


def test_a_build_of_the_other_variant_says_what_is_wrong(build: Build) -> None:
    check = next(step for name, step in steps() if name == "RUN" and "is_cuda" in step)
    (python,) = re.findall(r"python -c '([^']+)'", check)
    other = "cpu" if "True" in build.output("python", "-c", IS_CUDA) else "cuda"
    done = subprocess.run(
        [str(build.prefix / "venv" / "bin" / "python"), "-c", python, other],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert f"VARIANT={other}" in done.stderr


IS_CUDA = "import torch; print(torch.version.cuda is not None)"
