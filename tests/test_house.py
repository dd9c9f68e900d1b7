"""Rules about the source as a whole: size of files, names of classes, direction of imports."""

from __future__ import annotations

import ast
import graphlib
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PRODUCT = ("configs", "deployments", "serve_app")
MAX_LINES = 300

# Rooms by layer, top first: a room may import itself and every room of the layers below its own.
# A module belongs to the room with the longest matching name, so "deployments" means the family
# files at the top of that folder, and "serve_app" means cli.py and graph.py.
MODEL_SIDE = (
    ("deployments", "deployments.conversion"),
    ("deployments.encoders", "deployments.speech", "deployments.engine"),
    ("deployments.images",),
    ("deployments.batching",),
    ("deployments.models",),
    ("deployments.metrics",),
    ("deployments.seam",),
    ("configs",),
)
INGRESS_SIDE = (
    ("serve_app",),
    ("serve_app.launcher", "serve_app.load"),
    ("serve_app.observability",),
    ("serve_app.registry",),
    ("serve_app.ingress",),
    ("deployments.metrics",),
    ("deployments.seam",),
    ("configs",),
)
# What binds the two sides, and what checks the classes that a profile names, know a family's
# constructor.
BINDERS = {
    "serve_app": {"deployments.models"},
    "serve_app.registry": {"deployments", "deployments.models"},
}


def below(layers: tuple[tuple[str, ...], ...]) -> dict[str, set[str]]:
    """For each room, the rooms of all layers under its own."""
    return {
        room: {lower for layer in layers[depth:] for lower in layer}
        for depth, rooms in enumerate(layers, start=1)
        for room in rooms
    }


ALLOWED = below(MODEL_SIDE) | below(INGRESS_SIDE)
ROOMS = sorted(ALLOWED, key=len, reverse=True)


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {
    module_name(path): path
    for package in (*PRODUCT, "bench")
    for path in sorted((ROOT / package).rglob("*.py"))
}
TREES = {name: ast.parse(path.read_text()) for name, path in MODULES.items()}


def room_of(module: str) -> str:
    return next(room for room in ROOMS if f"{module}.".startswith(f"{room}."))


def imports(node: ast.AST) -> Iterator[str]:
    """The modules that ``node`` imports, inside functions too, but not for type checking alone."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        if isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, "relative imports are not followed here"
            for alias in child.names:
                submodule = f"{child.module}.{alias.name}"
                yield submodule if submodule in MODULES else str(child.module)
        yield from imports(child)


IMPORTS = {name: set(imports(tree)) for name, tree in TREES.items()}


def test_no_source_file_is_longer_than_a_reader_likes() -> None:
    files = (*MODULES.values(), *(ROOT / "tests").rglob("*.py"))
    lengths = {path: len(path.read_text().splitlines()) for path in files}
    assert len(lengths) > 250
    too_long = {str(path.relative_to(ROOT)): n for path, n in lengths.items() if n > MAX_LINES}
    assert not too_long


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph = {name: IMPORTS[name] & MODULES.keys() for name in MODULES}
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        pytest.fail(" <- ".join(error.args[1]))


def test_rooms_import_only_rooms_below_them() -> None:
    upwards = [
        f"{name} imports {imported}"
        for name in MODULES
        if name.partition(".")[0] in PRODUCT
        for imported in sorted(IMPORTS[name] & MODULES.keys())
        if not may_import(room_of(name), imported)
    ]
    assert not upwards


def may_import(room: str, imported: str) -> bool:
    if imported.partition(".")[0] not in PRODUCT:
        return False
    allowed = ALLOWED[room] | BINDERS.get(room, set())
    return room_of(imported) in {room} | allowed


def test_a_class_name_means_one_thing() -> None:
    places = defaultdict(list)
    for name, tree in TREES.items():
        if name.partition(".")[0] in PRODUCT:
            for node in ast.walk(tree):
                if isinstance(node, ast.ClassDef):
                    places[node.name].append(name)
    assert len(places) > 200
    assert not {name: found for name, found in places.items() if len(found) > 1}


def test_the_model_side_imports_no_http() -> None:
    """By source: Ray Serve itself imports FastAPI, so the loaded modules say nothing."""
    found = {
        imported.partition(".")[0]
        for name in MODULES
        if name.partition(".")[0] == "deployments"
        for imported in IMPORTS[name]
    }
    assert "configs" in found
    assert not found & {"fastapi", "starlette", "httpx", "uvicorn", "serve_app"}


IMPORT_ALL = """
import pkgutil, sys, importlib
names = []
for package in sys.argv[1].split(","):
    module = importlib.import_module(package)
    names += [found.name for found in pkgutil.walk_packages(module.__path__, package + ".")]
for name in names:
    if not name.endswith("__main__"):
        importlib.import_module(name)
assert len(names) > 5, names
ray = sys.modules.get("ray")
assert ray is None or not ray.is_initialized(), "importing started Ray"
print([name for name in sys.argv[2].split(",") if name in sys.modules])
"""


def loaded_by(packages: str, *names: str) -> str:
    """Which of ``names`` are loaded once every module of ``packages`` is, in a new process."""
    command = [sys.executable, "-c", IMPORT_ALL, packages, ",".join(names)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().splitlines()[-1]


def test_the_ingress_side_imports_no_model_framework_and_starts_no_ray() -> None:
    frameworks = ("torch", "transformers", "sentence_transformers", "openvino", "sklearn")
    assert loaded_by("serve_app", *frameworks) == "[]"


def test_the_configuration_imports_neither_side() -> None:
    assert loaded_by("configs", "torch", "fastapi", "ray", "serve_app", "deployments") == "[]"
