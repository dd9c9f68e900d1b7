"""Environments of other projects' clients, and runs of their test files in them."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

from filelock import FileLock

HERE = Path(__file__).parent
CLIENTS = HERE / "clients"
CACHE = HERE.parents[1] / "cache" / "clients"
OURS = Path(sysconfig.get_path("purelib"))
SETUP_LIMIT_S = 840
RUN_LIMIT_S = 840
QUIET = {
    "PYTHONDONTWRITEBYTECODE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
    "TOKENIZERS_PARALLELISM": "false",
}
"""Clients tell nobody about themselves. Offline mode would also refuse the graph's own address."""


def python_of(group: str, *, beside_ours: bool = False) -> Path:
    """The interpreter of a group of clients, in an environment made from its requirements.

    With ``beside_ours`` it can import what is installed beside the tests as well, such as torch.
    Raises ``CalledProcessError`` if something cannot be installed.
    """
    requirements = CLIENTS / group / "requirements.txt"
    place = CACHE / group
    python, stamp = place / "bin" / "python", place / "stamp"
    wanted = hashlib.sha256(f"{sys.version}{OURS}".encode() + requirements.read_bytes()).hexdigest()
    CACHE.mkdir(parents=True, exist_ok=True)
    with FileLock(CACHE / f"{group}.lock"):
        if stamp.exists() and stamp.read_text() == wanted:
            return python
        venv.create(place, with_pip=True, clear=True)
        if beside_ours:
            (site,) = place.glob("lib/python*/site-packages")
            (site / "ours.pth").write_text(f"{OURS}\n")
        options = ["--disable-pip-version-check", "--quiet", "--requirement", str(requirements)]
        subprocess.run(
            [python, "-m", "pip", "install", *options], check=True, timeout=SETUP_LIMIT_S
        )
        stamp.write_text(wanted)
    return python


def run_tests(
    group: str, url: str, *arguments: str, beside_ours: bool = False, **variables: str
) -> None:
    """Run a group's tests, or those that ``arguments`` name, against the graph at ``url``.

    ``variables`` are added to their environment.

    Their output is this process's own. A test that fails, and one that passes though it is listed
    as failing, fail the run.
    """
    python = python_of(group, beside_ours=beside_ours)
    wanted = arguments or (group,)
    done = subprocess.run(
        [python, "-P", "-m", "pytest", "-c", "pytest.ini", *wanted],
        cwd=CLIENTS,
        env=environment(url) | variables,
        timeout=RUN_LIMIT_S,
    )
    assert done.returncode == 0, f"the clients' tests of {group} ended with {done.returncode}"


def environment(url: str) -> dict[str, str]:
    """The variables of a client's process: ours, without the folder that our tests import from."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return {**kept, **QUIET, "PRSM_CLIENTS_URL": url}
