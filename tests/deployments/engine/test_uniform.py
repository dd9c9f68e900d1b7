from __future__ import annotations

import numpy as np

from deployments.engine.uniform import sample_index, uniform


def test_a_number_is_a_function_of_seed_and_position_only() -> None:
    forward = [uniform(11, position) for position in range(50)]
    backward = [uniform(11, position) for position in reversed(range(50))]
    assert forward == backward[::-1]
    assert len({*forward, *(uniform(12, position) for position in range(50))}) == 100


def test_numbers_do_not_change_between_machines_and_releases() -> None:
    assert uniform(1, 0) == 0.3035680343067586
    assert uniform(2**64 - 1, 4096) == 0.518600535768714


def test_samples_follow_the_distribution() -> None:
    probabilities = np.array([0.1, 0.0, 0.6, 0.3])
    counts = np.bincount(
        [sample_index(probabilities, uniform(3, p)) for p in range(20_000)], minlength=4
    )
    assert np.abs(counts / 20_000 - probabilities).max() < 0.01
    assert counts[1] == 0


def test_the_ends_of_the_range_stay_inside() -> None:
    probabilities = np.array([0.0, 0.5, 0.5, 0.0])
    assert sample_index(probabilities, 0.0) == 1
    assert sample_index(probabilities, 1.0 - 2.0**-53) == 2
    assert sample_index(probabilities * 1e-6, 1.0) == 2
