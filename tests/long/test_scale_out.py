"""Nodes and replicas come under load and go after it: a small run of the bench."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).parents[2]
LIMIT_S = 800.0


def test_a_hot_family_gets_replicas_and_nodes_and_no_request_fails(tmp_path: Path) -> None:
    plot = tmp_path / "run.svg"
    command = [sys.executable, "-m", "bench.scale_out", "--hot-seconds", "40", "--plot", str(plot)]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("everything came about\n")
    answered = re.search(r"^requests: (\d+) .*failed: 0$", done.stdout, re.MULTILINE)
    assert answered is not None
    assert int(answered[1]) > 1200
    assert ElementTree.parse(plot).getroot().tag.endswith("svg")
