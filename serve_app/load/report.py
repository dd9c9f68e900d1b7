"""Formats figures: as a table, as a plot for the terminal, and as JSON."""

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import plotille
from rich.table import Table

from serve_app.load.figures import LoadFigures, Percentiles, RequestSample, percentile
from serve_app.load.load import Load

PLOT_SIZE = (60, 12)  # every tenth column has a tick, so the last one is the largest
BUSY_CLIENT = 0.5


def figures_table(rows: Sequence[LoadFigures]) -> Table:
    """One row for each load, latencies in milliseconds; those of tokens only of streams."""
    streams = any(not math.isnan(row.first.p50) for row in rows)
    table = Table()
    titles = ["clients", "requests/s", f"{rows[0].unit}/s", "latency p50 / p90 / p99, ms"]
    if streams:
        titles += ["first token p50 / p99, ms", "a token p50 / p99, ms"]
    for title in [*titles, "answered", "failed"]:
        table.add_column(title, justify="right")
    for row in rows:
        rates = [_clients(row), f"{row.requests_per_s:.1f}", f"{row.units_per_s:.1f}"]
        cells = [*rates, _ms(row.latency.p50, row.latency.p90, row.latency.p99)]
        if streams:
            cells += [_ms(spread.p50, spread.p99) for spread in (row.first, row.per_token)]
        table.add_row(*cells, str(row.succeeded), str(row.failed))
    return table


def notes(rows: Sequence[LoadFigures]) -> list[str]:
    """Lines below the table: errors by kind, and a warning where the clients were the limit."""
    lines = []
    for row in rows:
        for kind, count in row.errors.items():
            lines.append(f"clients {row.clients}: {count} × {kind}: {row.details[kind]}")
        if row.client_cpu > BUSY_CLIENT:
            lines.append(
                f"clients {row.clients}: the clients took {row.client_cpu:.0%} of a core, "
                "so the server may be faster than this"
            )
    return lines


def plot(rows: Sequence[LoadFigures], samples: Sequence[Sequence[RequestSample]]) -> str:
    """Rates by number of clients for several loads, percentiles of the latency for one.

    Empty when nothing succeeded.
    """
    if len(rows) > 1:
        clients = [float(row.clients) for row in rows]
        return _plot("clients", f"{rows[0].unit}/s", clients, [row.units_per_s for row in rows])
    latencies = sorted(each.latency_s * 1000 for each in samples[0] if each.error is None)
    if not latencies:
        return ""
    levels = [level / 100 for level in range(101)]
    values = [percentile(latencies, level) for level in levels]
    return _plot("percentile", "latency ms", [level * 100 for level in levels], values)


def report_json(url: str, loads: Sequence[Load], rows: Sequence[LoadFigures]) -> dict[str, Any]:
    """Every load with its figures. Times are in seconds, and null where nothing was measured.

    ``interrupted`` marks the level that was cut short; later levels are missing.
    """
    levels = [
        {"load": asdict(load), "interrupted": row.interrupted, "figures": _plain(row)}
        for load, row in zip(loads, rows, strict=False)  # an interrupted sweep has fewer figures
    ]
    return {"url": url, "levels": levels}


def _clients(row: LoadFigures) -> str:
    return f"{row.clients} (cut short)" if row.interrupted else str(row.clients)


def _plain(row: LoadFigures) -> dict[str, Any]:
    plain = asdict(row)
    del plain["interrupted"]  # it stands beside the figures
    for name in ("latency", "first", "per_token"):
        spread: Percentiles = getattr(row, name)
        plain[f"{name}_s"] = {
            level: None if math.isnan(value) else value for level, value in asdict(spread).items()
        }
        del plain[name]
    rates = {"requests_per_s": row.requests_per_s, "units_per_s": row.units_per_s}
    return {**plain, **rates, "failed": row.failed}


def _plot(x_label: str, y_label: str, xs: Sequence[float], ys: Sequence[float]) -> str:
    figure = plotille.Figure()
    figure.width, figure.height = PLOT_SIZE
    figure.with_colors = False
    figure.x_label, figure.y_label = x_label, y_label
    figure.set_x_limits(min_=min(xs), max_=max(max(xs), min(xs) + 1))
    figure.set_y_limits(min_=0, max_=max(max(ys) * 1.05, 1e-3))
    figure.register_label_formatter(float, _label)
    figure.plot(xs, ys)
    return str(figure.show())


def _label(value: float, chars: int, delta: float, left: bool = False) -> str:
    text = f"{value:,.0f}" if delta >= 10 else f"{value:.3g}"
    return text.ljust(chars) if left else text.rjust(chars)


def _ms(*seconds: float) -> str:
    return " / ".join("–" if math.isnan(each) else f"{each * 1000:.1f}" for each in seconds)
