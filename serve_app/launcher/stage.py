"""How far a start is, as anyone may see who is not the launcher."""

import psutil

from serve_app.launcher.runs import RunRecord
from serve_app.launcher.state import ServeState

PULLING = "--pull"
"""What the launcher calls its child with that fetches weights (`prsm-serve models --pull`)."""


def start_stage(run: RunRecord) -> str:
    """What a start does whose Ray does not run yet."""
    return "fetching weights" if _is_pulling(run.launcher_pid) else "starting Ray"


def serve_stage(state: ServeState, is_starting: bool) -> str:
    """What Serve does; `is_starting` where a launcher of this machine waits for it."""
    if not state.applications:
        return "starting Serve" if is_starting else "nothing is deployed"
    if state.is_healthy:
        return "running"
    if any(each.failure for each in state.applications):
        return "failed"
    parts = [each for application in state.applications for each in application.deployments]
    if not parts:
        return "deploying: building the graph"
    healthy = sum(each.is_healthy for each in parts)
    return f"deploying: {healthy} of {len(parts)} deployments are healthy"


def _is_pulling(launcher: int) -> bool:
    try:
        children = psutil.Process(launcher).children()
        return any(PULLING in child.cmdline() for child in children)
    except psutil.Error:  # it has ended meanwhile, or is somebody else's
        return False
