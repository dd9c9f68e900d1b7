"""The versions of Hugging Face's clients, which read answers of different shapes."""

from __future__ import annotations

import re

from serve_app.ingress.routes.context import RequestContext

PYTHON = re.compile(r"\bhf_hub/(\d+)\.(\d+)(?:\.(\d+))?")
JAVASCRIPT = re.compile(r"@huggingface/inference/(\d+)\.(\d+)(?:\.(\d+))?")


def version_of(client: re.Pattern[str], context: RequestContext) -> tuple[int, ...] | None:
    """A client's version, three numbers, by the request's User-Agent; none of another client."""
    agent = "" if context.request is None else context.request.headers.get("user-agent", "")
    found = client.search(agent)
    return None if found is None else tuple(int(number or 0) for number in found.groups())
