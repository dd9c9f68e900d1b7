"""Random numbers for sampling that depend on nothing but the seed and the position."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_NUMBERS = 64
"""Numbers that are made together: the generator takes longer to make than all of them."""

_WORDS = 4
"""Words of 64 bits that Philox makes for one value of its counter."""


class UniformNumbers:
    """Numbers in [0, 1) of a counter-based generator: Philox 4x64 (Salmon et al., SC 2011).

    ``seed`` is the 64-bit key and a position the counter: a number is the same on every machine,
    and a resumed sequence need not repeat those before it.
    """

    def __init__(self, seed: int) -> None:
        self._key = seed % 2**64
        self._first = 0
        self._numbers: npt.NDArray[np.float64] = np.empty(0)

    def at(self, position: int) -> float:
        """The number of a position."""
        if not self._first <= position < self._first + len(self._numbers):
            generator = np.random.Philox(key=self._key, counter=position)
            words = generator.random_raw(_NUMBERS * _WORDS)[::_WORDS]
            self._numbers = (words >> np.uint64(11)).astype(np.float64) * 2.0**-53
            self._first = position
        return float(self._numbers[position - self._first])
