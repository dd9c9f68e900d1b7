import inspect
from pathlib import Path

import ray
from ray.dashboard import consts
from ray.dashboard.modules.reporter import reporter_consts
from ray.serve._private import constants

from serve_app.launcher.environment import MARKER, TIMERS, Workload, serve_environment
from serve_app.launcher.ports import PortBlock


def _environment(
    given: dict[str, str] | None = None,
    directory: str = "/tmp/prsm-abc123",
    first: int = 20_000,
    cpus: int = 2,
    workload: Workload | None = None,
) -> dict[str, str]:
    return serve_environment(
        given or {}, "abc123", Path(directory), PortBlock.at(first), cpus, workload or Workload()
    )


def test_the_fast_path_is_on_and_usage_statistics_are_off() -> None:
    environment = _environment()
    assert environment["RAY_SERVE_THROUGHPUT_OPTIMIZED"] == "1"
    assert environment["RAY_SERVE_ENABLE_HA_PROXY"] == "1"
    assert environment["RAY_USAGE_STATS_ENABLED"] == "0"
    assert int(environment["RAY_SERVE_REPLICA_GRPC_MAX_MESSAGE_LENGTH"]) == 64 * 1024 * 1024


def test_variables_that_the_user_set_win_and_all_others_are_kept() -> None:
    given = {"RAY_SERVE_ENABLE_HA_PROXY": "0", "RAY_SERVE_HAPROXY_NBTHREAD": "7", "HOME": "/x"}
    environment = _environment(given)
    assert {name: environment[name] for name in given} == given


def test_a_start_inside_another_start_has_its_own_marker_and_cluster() -> None:
    environment = _environment({MARKER: "outer", "RAY_ADDRESS": "10.0.0.1:6379"})
    assert environment[MARKER] == "abc123"
    assert "RAY_ADDRESS" not in environment


def test_workers_keep_the_marker_visible_when_ray_renames_them() -> None:
    assert "SPT_NOENV" in _environment()


def test_two_starts_share_no_port_and_no_path_of_haproxy() -> None:
    one = _environment()
    two = _environment(directory="/tmp/prsm-def456", first=20_800)
    own = [name for name in one if "HAPROXY" in name or name.endswith("_PORT")]
    same = [name for name in own if one[name] == two[name]]
    assert set(same) == {
        "RAY_SERVE_HAPROXY_NBTHREAD",
        "RAY_SERVE_HAPROXY_TIMEOUT_CLIENT_S",
        "RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S",
        "RAY_SERVE_HAPROXY_CLOSE_SPREAD_TIME_S",
        "RAY_SERVE_HAPROXY_RETRIES",
    }


def test_haproxys_sockets_fit_into_a_unix_address_below_the_longest_base() -> None:
    directory = f"/{'b' * 23}/prsm-abc123"
    environment = _environment(directory=directory)
    for name in ("RAY_SERVE_HAPROXY_SOCKET_PATH", "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH"):
        path = Path(environment[name])
        # Serve puts the node id in between, HAProxy binds under a temporary name first.
        bound = f"{path.parent}/{'n' * 56}/{path.name}.4194304.tmp"
        assert len(bound) <= 107


def test_haproxy_gets_one_thread_on_a_small_machine_and_at_most_four() -> None:
    threads = [_environment(cpus=n)["RAY_SERVE_HAPROXY_NBTHREAD"] for n in (1, 2, 8, 64)]
    assert threads == ["1", "1", "2", "4"]


def test_a_reloaded_haproxy_outlives_the_longest_request() -> None:
    assert int(_environment()["RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S"]) > 300
    patient = _environment(workload=Workload(longest_s=1799.5))
    assert int(patient["RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S"]) > 1800


def test_an_old_haproxy_closes_no_connection_that_a_client_may_be_writing_to() -> None:
    environment = _environment()
    assert environment["RAY_SERVE_HAPROXY_CLOSE_SPREAD_TIME_S"] == "0"
    assert int(environment["RAY_SERVE_HAPROXY_RETRIES"]) > 3 * 8  # of eight replicas that are gone


def test_load_balancers_get_time_to_notice_that_a_replica_stops() -> None:
    name = "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S"
    assert int(_environment()[name]) > 5
    assert _environment(workload=Workload(many_nodes=True))[name] == "30"


def test_replicas_are_packed_where_there_are_several_nodes_unless_the_user_says_otherwise() -> None:
    name = "RAY_SERVE_USE_PACK_SCHEDULING_STRATEGY"
    assert name not in _environment()
    many = Workload(many_nodes=True)
    assert _environment(workload=many)[name] == "1"
    assert _environment({name: "0"}, workload=many)[name] == "0"


def test_timers_that_cost_an_idle_graph_a_core_are_slower_unless_the_user_says_otherwise() -> None:
    environment = _environment()
    assert 0.1 < float(environment["RAY_SERVE_CONTROL_LOOP_INTERVAL_S"]) <= 0.5
    assert int(environment["RAY_SERVE_METRICS_EXPORT_INTERVAL_MS"]) == 500
    own = {"REPORTER_UPDATE_INTERVAL_MS": "2500", "RAY_SERVE_METRICS_EXPORT_INTERVAL_MS": "0"}
    given = _environment(own)
    assert {name: given[name] for name in own} == own


def test_every_timer_is_a_setting_that_ray_knows() -> None:
    reads = {
        "RAY_SERVE_CONTROL_LOOP_INTERVAL_S": constants,
        "RAY_SERVE_METRICS_EXPORT_INTERVAL_MS": constants,
        "REPORTER_UPDATE_INTERVAL_MS": reporter_consts,
        "METRICS_RECORD_INTERVAL_S": consts,
    }
    for name, module in reads.items():
        assert f'"{name}"' in inspect.getsource(module)
    raylets = {name.removeprefix("RAY_") for name in TIMERS.keys() - reads.keys()}
    raylet = (Path(ray.__file__).parent / "core/src/ray/raylet/raylet").read_bytes()
    assert raylets
    assert all(name.encode() in raylet for name in raylets)
