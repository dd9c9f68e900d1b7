"""Panels and dashboards in Grafana's JSON (the dashboard schema of Grafana 10 and later)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

PanelKind: TypeAlias = Literal["timeseries", "stat"]
Unit: TypeAlias = Literal["s", "reqps", "ops", "percentunit", "bytes", "short", "none"]

SOURCE = {"type": "prometheus", "uid": "${datasource}"}
COLUMNS = 24
TAG = "prsm-serve"
SCHEMA_VERSION = 38


@dataclass(frozen=True, slots=True)
class Query:
    """One PromQL expression, and the legend of its series: ``{{label}}`` is a label's value."""

    expr: str
    legend: str


@dataclass(frozen=True, slots=True)
class Panel:
    """One graph, or one number (``stat``). ``width`` is in 24ths of the page, ``height`` in rows.

    ``stacked`` graphs show parts of a whole.
    """

    title: str
    about: str
    queries: tuple[Query, ...]
    unit: Unit = "short"
    kind: PanelKind = "timeseries"
    width: int = 12
    height: int = 8
    stacked: bool = False

    def json(self, number: int, x: int, y: int) -> dict[str, Any]:
        """The panel at column ``x`` and row ``y``."""
        return {
            "id": number,
            "type": self.kind,
            "title": self.title,
            "description": self.about,
            "datasource": SOURCE,
            "gridPos": {"h": self.height, "w": self.width, "x": x, "y": y},
            "targets": [_target(*numbered) for numbered in enumerate(self.queries)],
            "fieldConfig": {"defaults": self._defaults(), "overrides": []},
            "options": _STAT if self.kind == "stat" else _TIMESERIES,
        }

    def _defaults(self) -> dict[str, Any]:
        defaults: dict[str, Any] = {"unit": self.unit}
        if self.unit == "percentunit":
            defaults |= {"min": 0, "max": 1}
        elif self.kind == "timeseries":
            defaults |= {"min": 0}
        if self.kind == "timeseries":
            stacking = {"mode": "normal" if self.stacked else "none", "group": "A"}
            fill = 30 if self.stacked else 0
            defaults["custom"] = {"fillOpacity": fill, "showPoints": "auto", "stacking": stacking}
        return defaults


@dataclass(frozen=True, slots=True)
class Variable:
    """A choice at the top of a dashboard: values of a label, all of them at first."""

    name: str
    title: str
    query: str

    def json(self) -> dict[str, Any]:
        everything = {"selected": True, "text": ["All"], "value": ["$__all"]}
        return {
            "type": "query",
            "name": self.name,
            "label": self.title,
            "datasource": SOURCE,
            "query": self.query,
            "refresh": 2,  # whenever the time range changes
            "multi": True,
            "includeAll": True,
            "current": everything,
        }


@dataclass(frozen=True, slots=True)
class DashboardPage:
    """A page of panels, laid out from left to right."""

    uid: str
    title: str
    about: str
    panels: tuple[Panel, ...]
    variables: tuple[Variable, ...] = ()

    @property
    def queries(self) -> Iterator[str]:
        for panel in self.panels:
            yield from (query.expr for query in panel.queries)

    def json(self) -> dict[str, Any]:
        """What Grafana provisions or imports."""
        return {
            "uid": self.uid,
            "title": self.title,
            "description": self.about,
            "tags": [TAG],
            "schemaVersion": SCHEMA_VERSION,
            "editable": True,
            "graphTooltip": 1,  # the same time is marked in all panels
            "timezone": "browser",
            "refresh": "10s",
            "time": {"from": "now-1h", "to": "now"},
            "templating": {"list": [_DATASOURCE, *(each.json() for each in self.variables)]},
            "links": [_LINK],
            "panels": list(_placed(self.panels)),
        }


_STAT = {"reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False}}
_TIMESERIES = {
    "legend": {"showLegend": True, "displayMode": "list", "placement": "bottom", "calcs": []},
    "tooltip": {"mode": "multi", "sort": "desc"},
}
_DATASOURCE = {
    "type": "datasource",
    "name": "datasource",
    "label": "Prometheus",
    "query": "prometheus",
    "refresh": 1,
}
_LINK = {
    "type": "dashboards",
    "title": "Dashboards",
    "icon": "external link",
    "tooltip": "",
    "tags": [TAG],
    "asDropdown": True,
    "targetBlank": False,
    "includeVars": False,
    "keepTime": True,
}


def _target(index: int, query: Query) -> dict[str, Any]:
    return {
        "refId": chr(ord("A") + index),
        "datasource": SOURCE,
        "expr": query.expr,
        "legendFormat": query.legend,
        "range": True,
        "instant": False,
    }


def _placed(panels: Sequence[Panel]) -> Iterator[dict[str, Any]]:
    x = y = row_height = 0
    for number, panel in enumerate(panels, start=1):
        if x + panel.width > COLUMNS:
            x, y, row_height = 0, y + row_height, 0
        yield panel.json(number, x, y)
        x, row_height = x + panel.width, max(row_height, panel.height)
