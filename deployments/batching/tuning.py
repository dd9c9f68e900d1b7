"""The constants of batching that were fitted by measurement, on two cores."""

from __future__ import annotations

FREE_PADDING = 1 / 8
"""Part of a batch that may be padding even where a second forward would cost nothing extra."""

UNMEASURED_PADDING = 1 / 3
"""The same while the fixed time of a forward is not known."""

MAX_TIME_FACTOR = 2.0
"""If the first item alone exceeds the time limit, its batch may take up to so many times its
time."""
