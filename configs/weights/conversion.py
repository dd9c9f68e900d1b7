"""Runs a recipe of ``deployments.conversion`` in a process of its own.

Conversions import torch and load whole models, whose memory is freed when the process ends.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from configs.weights.errors import ConversionFailedError

TIMEOUT_S = 1800.0
_ROOT = Path(__file__).resolve().parents[2]


def run(recipe: str, source: Path, folder: Path, options: dict[str, Any]) -> None:
    """Run ``recipe``, which reads ``source`` and writes ``folder``.

    Raises:
        ConversionFailedError: with the last lines that the recipe wrote to stderr.
    """
    command = [sys.executable, "-P", "-m", "deployments.conversion"]
    path = os.pathsep.join(filter(None, (str(_ROOT), os.environ.get("PYTHONPATH"))))
    try:
        done = subprocess.run(
            [*command, recipe, str(source), str(folder), "--options", json.dumps(options)],
            env={**os.environ, "PYTHONPATH": path, "HF_HUB_OFFLINE": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            timeout=TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ConversionFailedError(
            f"{recipe} of {source}: not done after {TIMEOUT_S:.0f} s."
        ) from error
    if done.returncode != 0:
        tail = "\n".join(done.stderr.strip().splitlines()[-12:])
        raise ConversionFailedError(
            f"{recipe} of {source} ended with status {done.returncode}; its output is discarded. "
            f"Last lines of stderr:\n{tail}"
        )
