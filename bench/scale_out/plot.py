"""Draws a run: load, replicas, GPUs and latency over time, as an SVG."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from bench.scale_out.load import quantile
from bench.scale_out.run import FAMILIES, LOOK_S, Outcome

Points: TypeAlias = Sequence[tuple[float, float]]

WIDTH, PANEL, GAP, LEFT, RIGHT = 900, 120, 40, 60, 20
COLOURS = ("#d1495b", "#00798c", "#8d6a9f", "#555555")


def svg(outcome: Outcome) -> str:
    """Four panels with one time axis."""
    end = max(each.at_s for each in outcome.seen)
    panels: list[tuple[str, dict[str, Points]]] = [
        ("requests a second", _rates(outcome)),
        ("replicas", _series(outcome, lambda seen, name: seen.running[name])),
        ("GPUs and GPUs in use", _gpus(outcome)),
        ("p95 in seconds", _latencies(outcome)),
    ]
    height = GAP + len(panels) * (PANEL + GAP)
    drawn = [_panel(i, title, lines, end) for i, (title, lines) in enumerate(panels)]
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
    style = 'font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="#fff"/>'
    return "\n".join([head + style, *drawn, "</svg>", ""])


def _rates(outcome: Outcome) -> dict[str, Points]:
    def of(seen: float, name: str) -> float:
        sent = (each.left_s for each in outcome.load.answered if each.family == name)
        return sum(seen - LOOK_S <= left < seen for left in sent) / LOOK_S

    return {name: [(each.at_s, of(each.at_s, name)) for each in outcome.seen] for name in FAMILIES}


def _gpus(outcome: Outcome) -> dict[str, Points]:
    return {
        "there": [(each.at_s, each.gpus) for each in outcome.seen],
        "in use": [(each.at_s, each.gpus_in_use) for each in outcome.seen],
    }


def _latencies(outcome: Outcome) -> dict[str, Points]:
    def of(seen: float, name: str) -> list[float]:
        return outcome.load.of(name, seen - LOOK_S, seen)

    return {
        name: [
            (each.at_s, quantile(times, 0.95))
            for each in outcome.seen
            if (times := of(each.at_s, name))
        ]
        for name in FAMILIES
    }


def _series(outcome: Outcome, value: Callable[..., float]) -> dict[str, Points]:
    return {name: [(each.at_s, value(each, name)) for each in outcome.seen] for name in FAMILIES}


def _panel(index: int, title: str, lines: dict[str, Points], end: float) -> str:
    top = GAP + index * (PANEL + GAP)
    most = max((y for points in lines.values() for _, y in points), default=0.0) or 1.0
    width = WIDTH - LEFT - RIGHT

    def place(x: float, y: float) -> str:
        return f"{LEFT + width * x / end:.1f},{top + PANEL * (1 - y / most):.1f}"

    parts = [
        f'<text x="{LEFT}" y="{top - 8}" font-weight="bold">{title}</text>',
        f'<rect x="{LEFT}" y="{top}" width="{width}" height="{PANEL}" fill="none" stroke="#ccc"/>',
        f'<text x="{LEFT - 6}" y="{top + 10}" text-anchor="end">{most:.3g}</text>',
        f'<text x="{LEFT - 6}" y="{top + PANEL}" text-anchor="end">0</text>',
        f'<text x="{WIDTH - RIGHT}" y="{top + PANEL + 14}" text-anchor="end">{end:.0f} s</text>',
    ]
    for number, ((name, points), colour) in enumerate(zip(lines.items(), COLOURS, strict=False)):
        path = " ".join(place(x, y) for x, y in points)
        parts.append(
            f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>'
        )
        at = LEFT + 200 + 90 * number
        parts.append(f'<text x="{at}" y="{top - 8}" fill="{colour}">{name}</text>')
    return "\n".join(parts)
