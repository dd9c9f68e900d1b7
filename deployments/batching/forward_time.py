"""Predicts how long a forward takes, from the forwards that have run."""

from __future__ import annotations

import math

from deployments.batching.tuning import MAX_SURPRISE, REMEMBERED_FORWARDS


class ForwardTimeModel:
    """Expected seconds of a forward: a fixed time, and a time that grows with the ``volume``.

    ``volume`` is what the model computes on, padding included: rows times the longest of them, in
    tokens or pixels. The line is the least-squares fit to the forwards that have run, by
    exponentially weighted means, variance and covariance. As long as all forwards had the same
    volume, all of their time counts as fixed: until it is measured, a larger batch is expected
    to take no longer.
    """

    def __init__(self) -> None:
        self._count = 0
        self._volume = 0.0  # means, of which the newest forward counts most
        self._seconds = 0.0
        self._variance = 0.0  # of the volume
        self._covariance = 0.0  # of volume and seconds
        self._error = 0.0
        self._slope: float | None = None

    def learn(self, volume: float, seconds: float) -> None:
        """A forward over ``volume`` took ``seconds``."""
        weight = 1 / min(self._count + 1, REMEMBERED_FORWARDS)
        expected = self.seconds(volume)
        if self._count >= REMEMBERED_FORWARDS and expected > 0:
            seconds = min(seconds, MAX_SURPRISE * expected)
            self._error += weight * (abs(seconds / expected - 1) - self._error)
        self._count += 1
        off_volume, off_seconds = volume - self._volume, seconds - self._seconds
        self._volume += weight * off_volume
        self._seconds += weight * off_seconds
        self._variance = (1 - weight) * (self._variance + weight * off_volume**2)
        self._covariance = (1 - weight) * (self._covariance + weight * off_volume * off_seconds)
        if self._variance > 0:
            self._slope = self._covariance / self._variance
        if self._slope is not None:  # neither part of the time is below zero
            self._slope = min(max(self._slope, 0.0), self._seconds / self._volume)

    def seconds(self, volume: float) -> float:
        """The expected seconds of a forward over ``volume``; 0 before the first."""
        return self._fixed + (self._slope or 0.0) * volume

    def upper_bound(self, volume: float) -> float:
        """Upper estimate of the seconds: the expected time plus its typical deviation."""
        return self.seconds(volume) * (1 + self._error)

    def volume_within(self, seconds: float) -> float:
        """The volume of a forward that is expected to take so long; infinite if it is unknown."""
        if not self._slope:
            return math.inf
        return max(0.0, seconds - self._fixed) / self._slope

    def total_seconds(
        self, items: int, volume: float, *, max_items: int, max_volume: float, max_seconds: float
    ) -> float:
        """The time that forwards over ``items`` are expected to take, one after the other.

        ``volume`` is that of all of them. They are taken to form batches of items of the mean size,
        which need no padding, within the bounds of a batch.
        """
        if not items:
            return 0.0
        mean = volume / items
        of_batch = min(max_items * mean, max_volume, self.volume_within(max_seconds))
        batches = min(items, math.ceil(volume / max(mean, of_batch)))
        return batches * self.seconds(volume / batches)

    @property
    def fixed_volume(self) -> float | None:
        """The volume that could be computed in the fixed time; ``None`` until it is measured."""
        if self._slope is None:
            return None
        return self._fixed / self._slope if self._slope else math.inf

    @property
    def _fixed(self) -> float:
        return max(0.0, self._seconds - (self._slope or 0.0) * self._volume)
