"""The process that runs a start's Ray head: `python -m serve_app.launcher.ray_head_main`.

It runs as long as the launcher keeps its standard input open. When that closes, because the
launcher stops or was killed, this process ends Ray and then every process that carries the run's
marker. HAProxy is one of those: it would outlive Ray.

It reads two lines, the request as JSON and then "go", and answers each with a line of JSON.
"""

import functools
import json
import os
import signal
import sys
import threading
from pathlib import Path
from typing import IO, Any

from serve_app.launcher import processes, runs
from serve_app.launcher.environment import MARKER
from serve_app.launcher.schema import config_problem

SHUTDOWN_LIMIT_S = 10.0
GRACE_S = 3.0


def main() -> None:
    """Check the config, start (or join) Ray, report, and stay until standard input closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Ray prints to standard output; that goes to the log, so that it does not mix with answers.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    request = json.loads(sys.stdin.readline())
    problem = config_problem(request["config"])
    _answer(answers, {"problem": problem} if problem else {})
    if problem is None and sys.stdin.readline().strip() == "go":
        _hold(request, answers)
    # Ray's own exit handlers may hang on a cluster that is gone.
    os._exit(0)


def _hold(request: dict[str, Any], answers: IO[str]) -> None:
    try:
        _answer(answers, _start(request))
        sys.stdin.read()
    except Exception as error:  # noqa: BLE001 - outermost edge: the launcher shows it
        _answer(answers, {"problem": f"Ray did not start: {error}"})
    finally:
        _end(request)


def _start(request: dict[str, Any]) -> dict[str, Any]:
    import ray

    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "WARNING"}
    if request["address"]:
        options |= {"address": request["address"]}
    else:
        options |= {
            "address": "local",
            "include_dashboard": True,
            "dashboard_host": "127.0.0.1",
            "dashboard_port": request["dashboard_port"],
            # Ray makes its directory readable for everybody; the run directory around it is not.
            "_temp_dir": str(Path(request["directory"]) / "r"),
        }
        set_up_node(request["agent_port"])
    return {"dashboard": ray.init(**options).dashboard_url}


def set_up_node(agent_port: int) -> None:
    """Make Ray's node as ``ray.init``, which has no options for these, would not make it.

    Its agent gets a port of its own instead of 52365: that of a second cluster on the machine would
    otherwise not come up. It has no log monitor, which looks at all log files ten times a second to
    print their lines in drivers: the driver of this cluster prints none (``log_to_driver``), and
    the dashboard reads the files themselves.
    """
    from ray._private.parameter import RayParams

    made = functools.partialmethod(
        RayParams.__init__, dashboard_agent_listen_port=agent_port, include_log_monitor=False
    )
    RayParams.__init__ = made  # type: ignore[method-assign, assignment]


def _end(request: dict[str, Any]) -> None:
    import ray

    stopping = threading.Thread(target=ray.shutdown, daemon=True)
    stopping.start()
    stopping.join(SHUTDOWN_LIMIT_S)
    run_id = os.environ[MARKER]
    processes.end(run_id, GRACE_S)
    run = runs.RunRecord(run_id, request["directory"], 0, 0)
    if not runs.is_live(run):
        runs.remove(run)


def _answer(answers: IO[str], answer: dict[str, Any]) -> None:
    answers.write(f"{json.dumps(answer)}\n")
    answers.flush()


if __name__ == "__main__":
    main()
