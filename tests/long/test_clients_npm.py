"""npm's clients against the running graph: OpenAI's, the AI SDK, Hugging Face's."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest
from filelock import FileLock
from PIL import Image

from tests.long.client_environment import CACHE, CLIENTS, SETUP_LIMIT_S, environment
from tests.shapes.drawing import Shape, draw

HERE = CLIENTS / "npm"
PINS = ("package.json", "package-lock.json")
MIN_NODE = 20
FILE_LIMIT_S = 240


@pytest.fixture(scope="module")
def packages() -> Path:
    """A folder with the pinned packages and our test files, which node finds them from."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("node and npm are not here (Debian: apt-get install nodejs npm)")
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout
    if int(version.lstrip("v").split(".")[0]) < MIN_NODE:
        pytest.skip(f"node is {version.strip()}, and the clients need {MIN_NODE}")
    place = CACHE / "npm"
    place.mkdir(parents=True, exist_ok=True)
    with FileLock(CACHE / "npm.lock"):
        stamp = place / "stamp"
        wanted = hashlib.sha256(b"".join((HERE / pin).read_bytes() for pin in PINS)).hexdigest()
        if not stamp.exists() or stamp.read_text() != wanted:
            _install(npm, place)
            stamp.write_text(wanted)
        for source in HERE.glob("*.mjs"):
            shutil.copy(source, place)
    return place


def _install(npm: str, place: Path) -> None:
    for pin in PINS:
        shutil.copy(HERE / pin, place)
    options = ["--ignore-scripts", "--no-audit", "--no-fund"]
    done = subprocess.run(
        [npm, "ci", *options], cwd=place, capture_output=True, text=True, timeout=SETUP_LIMIT_S
    )
    if done.returncode:
        pytest.skip(f"npm's packages cannot be had: {done.stderr[-500:]}")


@pytest.mark.parametrize("name", sorted(path.name for path in HERE.glob("*.test.mjs")))
def test_npm(base_url: str, packages: Path, tmp_path: Path, name: str) -> None:
    drawing = tmp_path / "drawing.png"
    image = Image.new("RGB", (160, 160), "white")
    draw(image, Shape("blue", "square", (40, 40, 120, 120)), (20, 40, 230))
    image.save(drawing)
    done = subprocess.run(
        ["node", "--test", "--test-reporter=spec", name],
        cwd=packages,
        env={**environment(base_url), "PRSM_CLIENTS_DRAWING": str(drawing)},
        timeout=FILE_LIMIT_S,
    )
    assert done.returncode == 0, f"{name} ended with {done.returncode}"
