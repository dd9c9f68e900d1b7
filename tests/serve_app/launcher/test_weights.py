import json
from pathlib import Path
from typing import Any

import pytest

from configs.profile import Profile
from configs.weights import conversion
from configs.weights.exports import EXPORT_RECORD_FILE
from serve_app.launcher.weights import is_complete, pull


def _convert(recipe: str, origin: Path, folder: Path, options: dict[str, Any]) -> None:
    """Replaces every conversion."""
    (folder / "model.safetensors").write_text("weights")
    (folder / EXPORT_RECORD_FILE).write_text(
        json.dumps({"processor": "a", "refusal": "no such layer"})
    )


def test_a_pull_reports_each_model_as_ready_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(conversion, "run", _convert)
    folder = tmp_path / "origin"
    folder.mkdir()
    (folder / "model.safetensors").write_text("weights")
    model = {
        "name": "house/mood",
        "tasks": ["sentiment"],
        "pinned": True,
        "max_tokens": 64,
        "source": {"folder": str(folder), "convert": "sentiment-head"},
    }
    family = {
        "name": "classification",
        "deployment": "deployments.classification:Classification",
        "routers": ["serve_app.ingress.routes.classification:router"],
        "models": [model],
    }
    settings = {"hf_cache_dir": str(tmp_path / "cache")}
    profile = Profile.model_validate({"name": "house", "families": [family], "settings": settings})
    pull(profile)
    said = capsys.readouterr().err.splitlines()
    assert [line.split()[1] for line in said] == ["converting", "converting", "ready"]
    assert is_complete(profile)
