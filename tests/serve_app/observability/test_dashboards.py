"""The dashboards are those of the code, name what exists, and Grafana can read them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from deployments.metrics.signals import SIGNALS
from serve_app.observability.alerts import ALERTS
from serve_app.observability.batched import ENCODER_TASKS, OTHER_TASKS
from serve_app.observability.files import DASHBOARDS, all_files
from serve_app.registry.task_names import all_tasks
from tests.serve_app.observability.queries import OTHERS, SERIES, filled_in, metrics_of, sums_of

DEPLOY = Path(__file__).parents[3] / "deploy"
EXPRESSIONS = [
    *(expr for page in DASHBOARDS.values() for expr in page.queries),
    *(alert.expr for alert in ALERTS),
]
VARIABLES = [each.query for page in DASHBOARDS.values() for each in page.variables]

each_page = pytest.mark.parametrize("name", DASHBOARDS)


@pytest.mark.parametrize("path", all_files(), ids=str)
def test_the_files_are_what_the_command_makes(path: Path) -> None:
    """`python -m serve_app.observability deploy` makes them."""
    assert (DEPLOY / path).read_text() == all_files()[path]


def test_no_dashboard_is_left_that_the_command_does_not_make() -> None:
    there = {path.relative_to(DEPLOY) for path in (DEPLOY / "grafana").rglob("*.json")}
    assert there == {path for path in all_files() if path.suffix == ".json"}


@pytest.mark.parametrize("expr", [*EXPRESSIONS, *VARIABLES])
def test_a_query_names_metrics_and_labels_that_exist(expr: str) -> None:
    found = metrics_of(expr)
    assert found or expr.startswith("up{")
    assert found <= SERIES.keys() | OTHERS
    for series in sums_of(expr):
        if series.metric in SERIES:
            labels = {*SERIES[series.metric].labels, "le"}
            assert {*series.by, *series.where} <= labels


def test_every_signal_is_on_a_dashboard() -> None:
    shown = {SERIES[name] for expr in EXPRESSIONS for name in metrics_of(expr) if name in SERIES}
    assert {each.name for each in SIGNALS if each not in shown} == set()


@each_page
def test_legends_show_labels_that_the_query_keeps(name: str) -> None:
    for panel in DASHBOARDS[name].panels:
        for query in panel.queries:
            wanted = set(re.findall(r"{{(\w+)}}", query.legend))
            assert all(wanted <= set(series.by) for series in sums_of(query.expr))


def test_the_tasks_of_the_dashboards_are_tasks_and_each_is_on_one() -> None:
    generators = {"generate", "chat"}
    known = {task.name for task in all_tasks()}
    assert {*ENCODER_TASKS, *OTHER_TASKS} == known - generators
    assert not set(ENCODER_TASKS) & set(OTHER_TASKS)


@each_page
def test_grafanas_own_types_read_the_whole_dashboard(name: str) -> None:
    """What its types do not know is lost when it is written again."""
    register_default_plugins()
    made = DASHBOARDS[name].json()
    again = json.loads(json.dumps(Dashboard.from_json(made), cls=JSONEncoder))
    assert _missing(made, again) == []


def _missing(made: Any, again: Any, path: str = "") -> list[str]:
    if isinstance(made, dict):
        lost = [f"{path}.{key}" for key in made if key not in again]
        kept = (key for key in made if key in again)
        return lost + [
            each for key in kept for each in _missing(made[key], again[key], f"{path}.{key}")
        ]
    if isinstance(made, list):
        pairs = enumerate(zip(made, again, strict=True))
        return [each for at, pair in pairs for each in _missing(*pair, f"{path}[{at}]")]
    return [] if made == again else [f"{path}: {made} became {again}"]


@each_page
def test_panels_have_places_of_their_own(name: str) -> None:
    panels = DASHBOARDS[name].json()["panels"]
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not cells & taken
        assert max(x for x, _ in cells) < 24
        taken |= cells
    assert len({panel["id"] for panel in panels}) == len({panel["title"] for panel in panels})
    assert len(panels) > 5


def test_dashboards_have_addresses_of_their_own() -> None:
    pages = DASHBOARDS.values()
    assert len({page.uid for page in pages}) == len({page.title for page in pages}) == len(pages)


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_prometheus_can_parse_every_query(tmp_path: Path) -> None:
    rules = [
        {"record": f"query_{number}", "expr": filled_in(expr)}
        for number, expr in enumerate(EXPRESSIONS)
    ]
    file = tmp_path / "rules.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))
    done = subprocess.run(["promtool", "check", "rules", file], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(rules)} rules found" in done.stdout
