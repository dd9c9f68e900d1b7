import pytest

from bench.idle import ProcessTime, idle_part_of, shares


@pytest.mark.parametrize(
    ("command", "part"),
    [
        ("ray::ServeReplica:prsm:Vision", "Vision"),
        ("ray::ServeController.listen_for_change", "controller"),
        ("ray::ProxyActor", "fallback proxy"),
        ("ray-dashboard-ServeHead-0 (python -B -c …)", "dashboard's modules"),
        ("python -u …/ray/_private/log_monitor.py --logs-dir=/tmp/x", "log monitor"),
        (
            "python -u …/ray/autoscaler/_private/monitor.py --logs-dir=/tmp/x",
            "autoscaler's monitor",
        ),
        ("/venv/bin/python /venv/bin/prsm-serve up --profile embedded", "launcher"),
        ("sh -c something", "Ray's other processes"),
    ],
)
def test_a_process_is_known_by_its_command_line(command: str, part: str) -> None:
    assert idle_part_of(command) == part


def test_a_parts_share_is_what_its_processes_took_meanwhile_the_largest_first() -> None:
    before = {1: ProcessTime("GCS", 10.0), 2: ProcessTime("launcher", 5.0)}
    after = {
        1: ProcessTime("GCS", 10.5),
        2: ProcessTime("launcher", 6.0),
        3: ProcessTime("launcher", 2.0),  # it started meanwhile
    }
    assert shares(before, after, 8.0) == {"launcher": (2, 0.375), "GCS": (1, 0.0625)}
    assert list(shares(before, after, 8.0)) == ["launcher", "GCS"]
