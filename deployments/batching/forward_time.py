"""How long a forward takes, learned from those that have run."""

from __future__ import annotations

import math

REMEMBERED = 0.97
"""The weight that a forward keeps when the next one has run: some thirty of them count."""

STEADY = 0.1
"""Sizes that differ by less than this, relative to their mean, say nothing about the slope."""

TRUSTED = 5
"""Forwards after which what is expected is worth something."""

SURPRISE = 4.0
"""A forward then counts as at most this many times what was expected of it: a machine that stood
still for a moment has not become slower, and one that has is believed within a few forwards."""


class ForwardTimeModel:
    """Seconds of a forward as ``fixed + slope * volume``: a line through what was measured.

    ``volume`` is what the model computes on, padding included: rows times the longest, in tokens or
    pixels. The line is the least-squares one, with weights that fade (recursive least squares with
    forgetting, as in Ljung, *System Identification*, 11.2), and how far forwards were off it fades
    alike. As long as all forwards had much the
    same volume, all of their time counts as fixed: until it is known better, company is free.
    """

    def __init__(self) -> None:
        self._weight = 0.0
        self._volume = 0.0
        self._seconds = 0.0
        self._spread = 0.0
        self._together = 0.0
        self._slope: float | None = None
        self._error = 0.0

    def learn(self, volume: float, seconds: float) -> None:
        """A forward over ``volume`` took ``seconds``."""
        if self._weight > TRUSTED and (expected := self.seconds(volume)) > 0:
            seconds = min(seconds, SURPRISE * expected)
            self._error += (1 - REMEMBERED) * (abs(seconds / expected - 1) - self._error)
        kept = self._weight * REMEMBERED
        self._weight = kept + 1
        off_volume, off_seconds = volume - self._volume, seconds - self._seconds
        self._volume += off_volume / self._weight
        self._seconds += off_seconds / self._weight
        share = kept / self._weight
        self._spread = REMEMBERED * self._spread + share * off_volume**2
        self._together = REMEMBERED * self._together + share * off_volume * off_seconds
        if self._spread > self._weight * (STEADY * self._volume) ** 2:
            self._slope = self._together / self._spread
        if self._slope is not None:
            self._slope = min(max(self._slope, 0.0), self._seconds / self._volume)

    def seconds(self, volume: float) -> float:
        """What a forward over ``volume`` is expected to take; zero before the first."""
        return self._fixed + (self._slope or 0.0) * volume

    def upper_bound(self, volume: float) -> float:
        """What one seldom takes longer than: what is expected, and what that is usually off by."""
        return self.seconds(volume) * (1 + self._error)

    @property
    def fixed_volume(self) -> float | None:
        """The volume that could be computed in the time that any forward takes, once known."""
        if self._slope is None:
            return None
        return self._fixed / self._slope if self._slope else math.inf

    @property
    def _fixed(self) -> float:
        return max(0.0, self._seconds - (self._slope or 0.0) * self._volume)
