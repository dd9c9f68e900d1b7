"""The bytes of a download from the model hub, out of the hooks of its own progress bars."""

from __future__ import annotations

import threading
from typing import Any

from configs.weights.progress import ByteProgress


def reporting_bar(report: ByteProgress) -> type[Any]:
    """A class of bars for one ``snapshot_download`` that show nothing, and report bytes.

    It opens several: of files, of bytes received and of bytes written. The bytes received may be
    fewer than those written, by what is compressed or there already; so the bar that is ahead
    counts. Totals grow while the download finds out the sizes of its files.
    """
    from tqdm.auto import tqdm  # type: ignore[import-untyped]

    bars: list[Any] = []
    lock = threading.Lock()  # files are downloaded in several threads

    class ReportingBar(tqdm):  # type: ignore[misc]
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **{**options, "disable": True})
            self.n = options.get("initial", 0)
            self._is_of_bytes = options.get("unit") == "B"
            if self._is_of_bytes:
                with lock:
                    bars.append(self)

        def update(self, n: float | None = 1) -> None:
            with lock:
                self.n += n or 0
                if not self._is_of_bytes:
                    return
                done = int(max(bar.n for bar in bars))
                totals = [int(bar.total) for bar in bars if bar.total and bar.total >= done]
                report(done, min(totals, default=None))

    return ReportingBar
