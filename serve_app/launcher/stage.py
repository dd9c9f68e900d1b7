"""How far a start is, as `prsm-serve status` tells it: from its record, then from Serve's state."""

from serve_app.launcher.runs import RunRecord
from serve_app.launcher.state import ServeState


def start_stage(run: RunRecord) -> str:
    """The stage of a start before its Ray runs, as its launcher recorded it."""
    return run.stage or "preparing"


def serve_stage(state: ServeState, is_starting: bool) -> str:
    """The stage of Serve. With `is_starting` a launcher on this machine waits for it."""
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
