"""The RayService: what each overlay serves, on which nodes, and who may reach what."""

from __future__ import annotations

import os
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from ray._private import ray_constants
from ray.serve._private import constants

from serve_app.launcher.cluster_config import as_rayservice, with_profile_at
from serve_app.launcher.node import Node, as_env_file
from serve_app.launcher.plan import StartPlan, load_plan
from tests.deploy.manifests import KUBERNETES, OVERLAYS, ROOT, Overlay, Pod, built, ports

NAME = "prsm-serve"
OWN_PROFILE_AT = "/etc/prsm-serve/profile/profile.yaml"
PROFILES: dict[str, tuple[str, str | None]] = {
    "small": ("embedded", None),
    "medium": (str(KUBERNETES / "overlays" / "medium" / "profile.yaml"), OWN_PROFILE_AT),
    "gpu": ("gpu", None),
}
HAPROXY_AT = Path("/opt/prsm-serve/haproxy")
CORES = 8
"""For which HAProxy's threads are counted."""

each_overlay = pytest.mark.parametrize("overlay", OVERLAYS, indirect=True)


@pytest.fixture
def overlay(request: pytest.FixtureRequest) -> Overlay:
    return built(request.param)


@pytest.fixture(autouse=True)
def database(monkeypatch: pytest.MonkeyPatch) -> None:
    """A profile of many nodes is valid only with one."""
    for name in [name for name in os.environ if name.startswith("PRSM_HF_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PRSM_HF_CONVERSATIONS_URL", "postgresql://user:secret@database/prsm")


@cache
def plan(overlay: str) -> StartPlan:
    """The plan of an overlay's profile."""
    return load_plan(PROFILES[overlay][0], None, "0.0.0.0")


@each_overlay
def test_the_serve_config_is_what_the_profile_makes(overlay: Overlay) -> None:
    """After a change of a profile, ``deploy/kubernetes/make-serve-configs`` makes it anew."""
    _, place = PROFILES[overlay.name]
    config = plan(overlay.name).config
    made = as_rayservice(config if place is None else with_profile_at(config, place), NAME)
    file = KUBERNETES / "overlays" / overlay.name / "serve.yaml"
    assert file.read_text() == made
    assert overlay.serve_config["applications"][0]["import_path"] == "serve_app.graph:build"


@each_overlay
def test_every_node_has_the_environment_of_a_node(overlay: Overlay) -> None:
    expected = Node(plan(overlay.name).workload, CORES).environment(HAPROXY_AT)
    assert (KUBERNETES / "base" / "node.env").read_text() == as_env_file(expected)
    for pod in (overlay.head, overlay.workers):
        (source,) = pod.container["envFrom"]
        assert overlay.config_map(source["configMapRef"]["name"]) == expected


@each_overlay
def test_the_settings_of_a_pod_are_those_of_the_service(overlay: Overlay) -> None:
    from configs.settings import unknown_variables

    for pod in (overlay.head, overlay.workers):
        names = {each["name"] for each in pod.container["env"]}
        assert "PRSM_HF_API_KEYS_FILE" in names
        assert not unknown_variables(names)


def test_a_profile_of_ones_own_is_mounted_where_the_graph_looks_for_it() -> None:
    medium = built("medium")
    assert medium.serve_config["applications"][0]["args"]["profile"] == OWN_PROFILE_AT
    for pod in (medium.head, medium.workers):
        volume = pod.mounts[str(Path(OWN_PROFILE_AT).parent)]
        mounted = medium.config_map(volume["configMap"]["name"])
        assert mounted == {Path(OWN_PROFILE_AT).name: Path(PROFILES["medium"][0]).read_text()}


@each_overlay
def test_the_least_number_of_replicas_fits_on_the_least_number_of_workers(
    overlay: Overlay,
) -> None:
    """The head offers no cores, as its ``num-cpus`` says."""
    assert overlay.head.group["rayStartParams"]["num-cpus"] == "0"
    workers = overlay.workers.group["minReplicas"]
    limits = overlay.workers.container["resources"]["limits"]
    for resource, there in (
        ("num_cpus", int(limits["cpu"])),
        ("num_gpus", int(limits.get("nvidia.com/gpu", "0"))),
    ):
        wanted = 0.0
        for deployment in overlay.serve_config["applications"][0]["deployments"]:
            share = deployment["ray_actor_options"][resource]
            wanted += share * deployment["autoscaling_config"]["min_replicas"]
        assert wanted <= there * workers, resource


@each_overlay
def test_no_deployment_wants_more_replicas_of_a_node_each_than_there_may_be_workers(
    overlay: Overlay,
) -> None:
    workers = overlay.workers.group["maxReplicas"]
    for deployment in overlay.serve_config["applications"][0]["deployments"]:
        if deployment.get("max_replicas_per_node") == 1:
            assert deployment["autoscaling_config"]["max_replicas"] <= workers


@each_overlay
def test_pods_fit_the_restricted_standard_of_pod_security(overlay: Overlay) -> None:
    """https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted"""
    (namespace,) = overlay.of("Namespace")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    (redis,) = overlay.of("StatefulSet")
    for spec in (overlay.head.spec, overlay.workers.spec, redis["spec"]["template"]["spec"]):
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["runAsUser"] > 0
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        contexts = [each["securityContext"] for each in spec["containers"]]
        if options := overlay.cluster.get("autoscalerOptions"):
            contexts.append(options["securityContext"])
        for context in contexts:
            assert context["allowPrivilegeEscalation"] is False
            assert context["readOnlyRootFilesystem"] is True
            assert context["capabilities"] == {"drop": ["ALL"]}


@each_overlay
def test_what_is_written_is_on_a_volume(overlay: Overlay) -> None:
    """The root file system is read-only."""
    for pod in (overlay.head, overlay.workers):
        environment = {each["name"]: each.get("value", "") for each in pod.container["env"]}
        cache = Path(environment["PRSM_HF_HF_CACHE_DIR"])
        writable = [Path(path) for path, volume in pod.mounts.items() if "emptyDir" in volume]
        assert Path("/tmp") in writable  # Ray's sessions, HAProxy's sockets
        assert any(cache.is_relative_to(path) for path in writable)


@each_overlay
def test_every_container_has_probes_and_bounds(overlay: Overlay) -> None:
    for pod in (overlay.head, overlay.workers):
        assert pod.container["livenessProbe"]["httpGet"]["port"] == 52365
        assert pod.container["resources"]["limits"].keys() >= {"cpu", "memory"}
        assert "ray" in pod.container["lifecycle"]["preStop"]["exec"]["command"]
    ready = overlay.workers.container["readinessProbe"]["httpGet"]
    assert ready == {"path": "/-/healthz", "port": 8000}


@each_overlay
def test_ray_wants_the_token_of_a_secret(overlay: Overlay) -> None:
    options = overlay.cluster["authOptions"]
    assert options == {"mode": "token", "secretName": "prsm-serve-ray"}


def selected(pod: Pod, selector: dict[str, Any]) -> bool:
    labels: dict[str, str] = selector["matchLabels"]
    return labels.items() <= pod.labels.items()


@each_overlay
def test_the_policy_is_for_all_pods_of_the_cluster_and_lets_them_reach_each_other(
    overlay: Overlay,
) -> None:
    policy = overlay.policy(NAME)
    inside = next(rule for rule in policy["ingress"] if len(rule["ports"]) > 5)
    (source,) = inside["from"]
    (to_redis,) = overlay.policy("prsm-serve-redis")["ingress"]
    for pod in (overlay.head, overlay.workers):
        assert selected(pod, policy["podSelector"])
        assert selected(pod, source["podSelector"])
        assert selected(pod, to_redis["from"][0]["podSelector"])


def listening() -> dict[str, range]:
    """Where nodes listen for each other, by Ray's and Serve's own constants."""
    node = built("small").workers.group["rayStartParams"]
    environment = dict(
        line.split("=", 1) for line in (KUBERNETES / "base" / "node.env").read_text().splitlines()
    )
    grpc = "RAY_SERVE_DIRECT_INGRESS_{}_GRPC_PORT"
    apart = ("min-worker-port", "max-worker-port", "metrics-export-port")
    fixed = {name: int(port) for name, port in node.items() if name not in apart}
    fixed |= {
        "gcs": ray_constants.DEFAULT_PORT,
        "dashboard": ray_constants.DEFAULT_DASHBOARD_PORT,
        "haproxy": constants.DEFAULT_HTTP_PORT,
        "fallback": constants.RAY_SERVE_FALLBACK_PROXY_HTTP_PORT,
    }
    return {name: range(port, port + 1) for name, port in fixed.items()} | {
        "workers": range(int(node["min-worker-port"]), int(node["max-worker-port"]) + 1),
        "replicas": range(
            constants.RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT,
            constants.RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT + 1,
        ),
        "replicas by gRPC": range(
            int(environment[grpc.format("MIN")]), int(environment[grpc.format("MAX")]) + 1
        ),
        "between replicas": range(32768, 61000),  # net.ipv4.ip_local_port_range
    }


def test_the_policy_names_every_port_and_no_other() -> None:
    policy = built("small").policy(NAME)
    inside = next(rule for rule in policy["ingress"] if len(rule["ports"]) > 5)
    assert sorted(ports([inside]), key=str) == sorted(listening().values(), key=str)


@each_overlay
def test_ports_of_ray_are_fixed_on_every_node_in_the_same_way(overlay: Overlay) -> None:
    head = overlay.head.group["rayStartParams"]
    node = overlay.workers.group["rayStartParams"]
    assert node.items() <= head.items()


@each_overlay
def test_a_disruption_budget_lets_a_machine_be_drained(overlay: Overlay) -> None:
    for budget in overlay.of("PodDisruptionBudget"):
        assert selected(overlay.workers, budget["spec"]["selector"])
        assert not selected(overlay.head, budget["spec"]["selector"])
        assert 1 <= budget["spec"]["minAvailable"] < overlay.workers.group["minReplicas"]
    assert bool(overlay.of("PodDisruptionBudget")) == (overlay.workers.group["minReplicas"] > 1)


@each_overlay
def test_kuberays_own_rules_about_upgrades_are_kept(overlay: Overlay) -> None:
    """``ValidateRayServiceSpec`` of KubeRay 1.7, which its schema does not say."""
    strategy = overlay.rayservice["upgradeStrategy"]
    assert strategy["type"] in {"NewCluster", "NewClusterWithIncrementalUpgrade"}
    if strategy["type"] == "NewClusterWithIncrementalUpgrade":
        assert overlay.cluster["enableInTreeAutoscaling"] is True
        options = strategy["clusterUpgradeOptions"]
        assert 0 < options["stepSizePercent"] <= options["maxSurgePercent"] <= 100
    assert overlay.rayservice["rayClusterDeletionDelaySeconds"] > 1800
    assert {"name": "serve", "containerPort": 8000} in overlay.head.container["ports"]


@each_overlay
def test_more_than_one_cluster_or_ingress_has_one_database(overlay: Overlay) -> None:
    wants_one = overlay.name != "small"
    for pod in (overlay.head, overlay.workers):
        names = [each["name"] for each in pod.container["env"]]
        assert ("PRSM_HF_CONVERSATIONS_URL" in names) == wants_one


def secrets(thing: Any) -> set[tuple[str, str]]:
    """Every secret that an object refers to, with the key where it names one."""
    if isinstance(thing, list):
        return {found for each in thing for found in secrets(each)}
    if not isinstance(thing, dict):
        return set()
    found = {pair for value in thing.values() for pair in secrets(value)}
    if reference := thing.get("secretKeyRef"):
        found.add((reference["name"], reference["key"]))
    if isinstance(name := thing.get("secretName"), str):
        found.add((name, "auth_token" if "mode" in thing else "keys.txt"))
    return found


@each_overlay
def test_every_secret_that_is_wanted_is_made_in_the_docs(overlay: Overlay) -> None:
    page = (ROOT / "docs" / "deploy.md").read_text().replace("\\\n", " ")
    made = {
        (line[0], key)
        for line in re.findall(r"create secret generic (\S+) (.+)", page)
        for key in re.findall(r"--from-(?:literal|file) (\S+?)=", line[1])
    }
    wanted = secrets(list(overlay.objects))
    assert len(wanted) >= 3
    assert wanted <= made
