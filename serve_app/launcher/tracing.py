"""Whether traces can be sent, where the environment switches them on."""

from collections.abc import Mapping
from importlib.util import find_spec

EXPORTER = "RAY_SERVE_TRACING_EXPORTER_IMPORT_PATH"
OTLP = "deployments.metrics.span_export:otlp"
OTLP_PACKAGE = "opentelemetry-exporter-otlp-proto-http"
OTLP_MODULE = "opentelemetry.exporter.otlp.proto.http.trace_exporter"


class TracingError(Exception):
    """Traces cannot be sent; the message is one line for the user."""


def require_exporter(environment: Mapping[str, str]) -> None:
    """Raises `TracingError` where our exporter is switched on and its package is missing.

    Serve would import it in each of its processes, and end with a traceback. Exporters of other
    people are theirs.
    """
    if environment.get(EXPORTER, "") not in (OTLP, OTLP.replace(":", ".")):
        return
    if not _is_there(OTLP_MODULE):
        raise TracingError(
            f"{EXPORTER} switches traces on, and the package {OTLP_PACKAGE} is not installed: "
            "pip install 'prsm-serve[otlp]'"
        )


def _is_there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # not even the package around it
        return False
