"""The files that are made of dashboards and alert rules."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import yaml

from serve_app.observability.alerts import rules
from serve_app.observability.batched import ENCODERS, OTHERS
from serve_app.observability.capacity import CAPACITY
from serve_app.observability.overview import OVERVIEW
from serve_app.observability.text_generation import TEXT_GENERATION

DASHBOARDS = {
    "overview": OVERVIEW,
    "text-generation": TEXT_GENERATION,
    "encoders": ENCODERS,
    "images": OTHERS,
    "capacity": CAPACITY,
}
MADE_BY = "# Made by `python -m serve_app.observability deploy`.\n"


def alert_rules() -> str:
    """The file of alert rules for Prometheus."""
    return MADE_BY + yaml.safe_dump(rules(), sort_keys=False, width=100)


def dashboard_files() -> Mapping[str, str]:
    """Each dashboard's file by its name, for Grafana."""
    pages = DASHBOARDS.items()
    return {f"{name}.json": json.dumps(page.json(), indent=2) + "\n" for name, page in pages}


def all_files() -> Mapping[Path, str]:
    """Every file by its path below the folder of files for deployment."""
    dashboards = Path("grafana") / "dashboards"
    found = {dashboards / name: content for name, content in dashboard_files().items()}
    return {**found, Path("prometheus") / "alerts.yml": alert_rules()}
