"""What counts as growth in a soak, and to which part a process belongs."""

from __future__ import annotations

import pytest

from bench.parts_watch import OTHERS, PartUse, growths, part_of


def grown(figure: str, *values: float) -> bool:
    found = growths([{"Ingress": PartUse(**{figure: value})} for value in values])
    (one,) = [each for each in found if each.figure == figure]
    return not one.is_flat


def test_what_fills_early_is_no_growth() -> None:
    assert not grown("memory_mib", 100, 300, 400, 400, 401, 400, 402, 401)


def test_what_goes_on_growing_is_growth() -> None:
    assert grown("memory_mib", *range(100, 900, 100))
    assert grown("descriptors", 20, 20, 20, 20, 21, 22, 23, 24)
    assert grown("threads", 9, 9, 9, 9, 9, 9, 14, 14)


def test_little_beside_what_there_is_is_noise() -> None:
    assert not grown("memory_mib", 50, 50, 50, 50, 60, 60, 60, 60)
    assert not grown("descriptors", *[1000] * 4, *[1020] * 4)


def test_a_part_that_comes_late_has_grown() -> None:
    looks = [{"raylet": PartUse()}] * 6 + [{"raylet": PartUse(), "new": PartUse(threads=9)}] * 2
    assert [each.part for each in growths(looks) if not each.is_flat] == ["new"]


@pytest.mark.parametrize(
    ("command", "part"),
    [
        ("ray::ServeReplica:prsm:Generation.handle_request", "Generation"),
        ("ray::ServeReplica:prsm:Ingress", "Ingress"),
        ("python -m deployments.engine.own_process.server 62", "torch engine"),
        ("/tmp/x/haproxy -db -f cfg", "HAProxy"),
        ("python something", OTHERS),
    ],
)
def test_a_process_is_found_by_its_command_line(command: str, part: str) -> None:
    assert part_of(command) == part
