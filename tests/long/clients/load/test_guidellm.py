"""GuideLLM's command: a short load of chats, and one of completions, in which nothing fails."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

WEIGHTS = os.environ["PRSM_CLIENTS_WEIGHTS"]
REQUESTS, TOKENS = 6, 8


@pytest.mark.parametrize("route", ["/v1/chat/completions", "/v1/completions"])
def test_every_request_of_a_load_has_its_tokens(service: Any, tmp_path: Path, route: str) -> None:
    report = tmp_path / "report.json"
    backend = f"kind=openai_http,target={service.url},model={service.chat},request_format={route}"
    options = {
        "--backend": backend,
        "--profile": "kind=concurrent,streams=2",
        "--constraint": f"kind=max_requests,count={REQUESTS}",
        "--data": f"kind=synthetic_text,prompt_tokens=32,output_tokens={TOKENS}",
        "--tokenizer": f"kind=hf_auto,model={WEIGHTS}",
        "--output": f"kind=json,path={report}",
    }
    command = [str(Path(sys.executable).with_name("guidellm")), "run", "--disable-console"]
    done = subprocess.run(
        [*command, *(part for option in options.items() for part in option)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=220,
    )
    assert done.returncode == 0, done.stderr
    (benchmark,) = json.loads(report.read_text())["benchmarks"]
    requests = benchmark["requests"]
    assert [len(requests[kind]) for kind in ("successful", "errored")] == [REQUESTS, 0]
    assert {each["output_metrics"]["text_tokens"] for each in requests["successful"]} == {TOKENS}
