"""The Dockerfile, by hadolint's rules and by what the rest of the repository expects of it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.deploy.manifests import built

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "deploy" / "Dockerfile"
LIMIT_S = 60.0


def lint(text: str) -> str:
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run(
        [str(hadolint), "--no-color", "-"],
        input=text,
        capture_output=True,
        text=True,
        check=False,
        timeout=LIMIT_S,
    )
    assert done.stderr == ""
    return done.stdout


def instructions(name: str) -> list[str]:
    """The arguments of every instruction of that name, on one line each."""
    text = DOCKERFILE.read_text().replace("\\\n", "")
    return re.findall(rf"^{name} (.+)$", text, re.MULTILINE)


def test_hadolint_has_no_complaint() -> None:
    assert lint(DOCKERFILE.read_text()) == ""


def test_hadolint_would_complain() -> None:
    assert "DL3002" in lint(DOCKERFILE.read_text() + "\nUSER root\n")


def test_the_base_of_both_stages_is_pinned() -> None:
    base = next(each for each in instructions("ARG") if each.startswith("BASE="))
    assert re.fullmatch(r"BASE=debian:\d+\.\d+-slim", base)
    assert [each.split()[0] for each in instructions("FROM")] == ["${BASE}", "${BASE}"]


def test_every_package_is_installed_by_the_constraints() -> None:
    installs = [line for line in instructions("RUN") if "pip install" in line]
    assert len(installs) == 2
    for line in installs:
        assert "--constraint constraints.txt" in line


def test_with_locks_nothing_is_installed_without_a_hash() -> None:
    packages, ours = (line for line in instructions("RUN") if "pip install" in line)
    assert '-n "$LOCKED"' in packages
    assert "--require-hashes --no-deps --requirement" in packages
    assert "${LOCKED:+--no-deps --no-build-isolation}" in ours
    for name in re.findall(r"locks/[\w-]+\.txt", packages):
        assert (ROOT / name).is_file()


def test_every_copied_path_is_in_the_context() -> None:
    ignore = (DOCKERFILE.with_name("Dockerfile.dockerignore")).read_text().splitlines()
    copied = [
        path for line in instructions("COPY") if "--from" not in line for path in line.split()[:-1]
    ]
    assert len(copied) > 5
    for path in copied:
        assert (ROOT / path).exists()
        assert f"!{path}" in ignore


def test_it_runs_as_the_user_that_kubernetes_names() -> None:
    user, group = instructions("USER")[-1].split(":")
    security = built("small").workers.spec["securityContext"]
    assert (security["runAsUser"], security["runAsGroup"]) == (int(user), int(group))


def test_haproxys_script_and_the_cache_are_where_kubernetes_looks_for_them() -> None:
    text = DOCKERFILE.read_text()
    workers = built("small").workers
    (source,) = workers.container["envFrom"]
    script = built("small").config_map(source["configMapRef"]["name"])
    directory = Path(script["RAY_SERVE_HAPROXY_BINARY_PATH"]).parent
    assert f"--haproxy-directory {directory} --write-haproxy" in text
    (volume,) = instructions("VOLUME")
    assert volume in workers.mounts


def test_tini_is_the_first_process_and_the_health_check_asks_readiness() -> None:
    assert instructions("ENTRYPOINT")[-1] == '["/usr/bin/tini", "--"]'
    (check,) = instructions("HEALTHCHECK")
    assert "http://127.0.0.1:8000/health/readiness" in check
