"""Random numbers for sampling that depend on nothing but the seed and the position."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def uniform(seed: int, position: int) -> float:
    """A number in [0, 1) of a counter-based generator: Philox 4x64 (Salmon et al., SC 2011).

    ``seed`` is the 64-bit key and ``position`` the counter: the number is the same on every
    machine, and a resumed sequence need not repeat those before it.
    """
    bits = int(np.random.Philox(key=seed % 2**64, counter=position).random_raw())
    return float(bits >> 11) * 2.0**-53


def sample_index(probabilities: npt.NDArray[np.float64], at: float) -> int:
    """The index at ``at`` of the cumulative distribution; the sum need not be one."""
    cumulative = np.cumsum(probabilities)
    index = int(np.searchsorted(cumulative, at * cumulative[-1], side="right"))
    return min(index, int(np.flatnonzero(probabilities)[-1]))
