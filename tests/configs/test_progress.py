"""Downloads and conversions show bytes, rate and time left."""

from __future__ import annotations

import threading
from io import StringIO
from pathlib import Path
from typing import Literal

import pytest
from huggingface_hub.utils.tqdm import hf_thread_map

from configs.weights import Console, WeightsStep, progress
from configs.weights.hub_progress import reporting_bar
from configs.weights.progress import growth_of

MB = 1000**2


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_log_gets_a_line_now_and_then() -> None:
    log, clock = StringIO(), Clock()
    console = Console(log, clock)
    console(WeightsStep("org/model", "fetching"))
    for second in range(25):
        clock.now = 100.0 + second
        console(WeightsStep("org/model", "fetching", 2 * MB * second, 300 * MB))
    console(WeightsStep("org/model", "ready"))
    assert log.getvalue().splitlines() == [
        "weights: fetching org/model",
        "weights: fetching org/model: 20.0 MB of 300.0 MB, 2.0 MB/s, 2 min 20 s left",
        "weights: fetching org/model: 40.0 MB of 300.0 MB, 2.0 MB/s, 2 min 10 s left",
        "weights: ready org/model",
    ]


@pytest.mark.parametrize(
    ("stage", "shown"),
    [("fetching", "22.0 MB, 2.0 MB/s"), ("converting", "11 s, 22.0 MB written")],
)
def test_where_the_size_is_unknown_so_is_the_time_left(
    stage: Literal["fetching", "converting"], shown: str
) -> None:
    """A conversion computes for most of its time, so it has no rate."""
    log, clock = StringIO(), Clock()
    console = Console(log, clock)
    console(WeightsStep("org/model", stage, 0))
    clock.now += 11
    console(WeightsStep("org/model", stage, 22 * MB))
    assert log.getvalue() == f"weights: {stage} org/model: {shown}\n"


def test_a_stage_begins_with_a_rate_of_its_own() -> None:
    log, clock = StringIO(), Clock()
    console = Console(log, clock)
    for stage, rate in (("fetching", 5), ("converting", 1)):
        console(WeightsStep("m", stage))  # type: ignore[arg-type]
        for done in (0, 10 * rate * MB):
            console(WeightsStep("m", stage, done, 100 * MB))  # type: ignore[arg-type]
            clock.now += 10
    lines = log.getvalue().splitlines()
    assert lines[1].endswith("5.0 MB/s, 10 s left")
    assert lines[3].endswith("1.0 MB/s, 1 min 30 s left")


def test_a_download_that_counts_from_zero_again_has_a_rate_of_its_own() -> None:
    log, clock = StringIO(), Clock()
    console = Console(log, clock)
    for done in (100, 1, 51):
        console(WeightsStep("m", "fetching", done * MB))
        clock.now += 10
    assert log.getvalue() == "weights: fetching m: 51.0 MB, 5.0 MB/s\n"


class Screen(StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_has_the_bar_itself(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    screen = Screen()
    console = Console(screen)
    console(WeightsStep("org/model", "fetching"))
    console(WeightsStep("org/model", "fetching", 20 * MB, 300 * MB))
    console(WeightsStep("org/model", "ready"))
    assert "20.0/300.0 MB" in screen.getvalue()
    assert capfd.readouterr() == ("", "")


def test_a_folder_that_is_written_reports_its_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "POLL_S", 0.001)
    reports: list[tuple[int, int | None]] = []
    reported = threading.Event()

    def report(done: int, total: int | None) -> None:
        reports.append((done, total))
        if done == 10:
            reported.set()

    with growth_of(tmp_path, report, 20):
        (tmp_path / "model.safetensors").write_bytes(b"0123456789")
        assert reported.wait(30)
    assert reports[-1] == (10, 20)
    assert not [each for each in threading.enumerate() if each.name == "folder growth"]


def test_the_bars_of_the_hub_report_bytes_and_print_nothing(
    capfd: pytest.CaptureFixture[str],
) -> None:
    """As ``snapshot_download`` uses them: two bars of bytes, and one of files over threads."""
    reports: list[tuple[int, int | None]] = []
    bar = reporting_bar(lambda done, total: reports.append((done, total)))
    received = bar(desc="Downloading bytes", total=0, initial=0, unit="B", unit_scale=True)
    written = bar(desc="Reconstructing", total=0, initial=0, unit="B", unit_scale=True)

    def download(size: int) -> int:
        received.total += size
        written.total += size
        received.update(size // 2)
        written.update(size)
        return size

    sizes = hf_thread_map(download, [4, 6], max_workers=1, desc="Fetching", tqdm_class=bar)
    received.total = received.n
    received.refresh()
    written.set_description("Reconstruction complete")
    written.set_postfix_str(str(written.format_dict.get("rate")), refresh=False)
    assert sizes == [4, 6]
    assert reports == [(2, 4), (4, 4), (5, 10), (10, 10)]
    assert capfd.readouterr() == ("", "")
