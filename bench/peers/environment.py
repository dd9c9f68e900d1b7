"""Makes virtual environments for peers that cannot be installed in ours."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import venv
from pathlib import Path

from bench.pairs import tell

HERE = Path(__file__).parent
SETUP_LIMIT_S = 1800
# Compile for this processor, with one job, since others use this machine too.
BUILD = {
    "CMAKE_ARGS": "-DGGML_NATIVE=ON -DLLAVA_BUILD=OFF",
    "CMAKE_BUILD_PARALLEL_LEVEL": "1",
}


def folder() -> Path:
    """The folder of the environments: `PRSM_BENCH_PEERS`, else `cache/peers`."""
    return Path(os.environ.get("PRSM_BENCH_PEERS", HERE.parents[1] / "cache" / "peers")).resolve()


def names() -> list[str]:
    """The peers with an environment of their own; each has a file of pinned requirements."""
    return sorted(path.stem for path in HERE.glob("*.txt"))


def python_of(name: str) -> Path:
    """The interpreter of a peer's environment, which is made first unless it is up to date.

    Wheels in the folder `wheels` beside the environments are taken instead of compiling. Raises
    ``CalledProcessError`` when something cannot be installed.
    """
    requirements = HERE / f"{name}.txt"
    place = folder() / name
    python, stamp = place / "bin" / "python", place / "requirements.sha256"
    wanted = hashlib.sha256(requirements.read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text() == wanted:
        return python
    tell(f"setting up {name} in {place} (the first time takes minutes)")
    venv.create(place, with_pip=True, clear=True)
    wheels = folder() / "wheels"
    wheels.mkdir(exist_ok=True)
    options = ["--disable-pip-version-check", "--quiet", "--find-links", str(wheels)]
    subprocess.run(
        ["nice", python, "-m", "pip", "install", *options, "--requirement", requirements],
        check=True,
        env={**os.environ, **BUILD},
        stdout=sys.stderr,
        timeout=SETUP_LIMIT_S,
    )
    stamp.write_text(wanted)
    return python
