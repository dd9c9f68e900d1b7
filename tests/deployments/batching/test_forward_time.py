from __future__ import annotations

import math
import random
from collections.abc import Callable

import pytest

from deployments.batching.forward_time import ForwardTimeModel


def learned(seconds: Callable[[int], float], volumes: list[int]) -> ForwardTimeModel:
    model = ForwardTimeModel()
    for volume in volumes:
        model.learn(volume, seconds(volume))
    return model


def test_nothing_is_expected_before_the_first_forward() -> None:
    assert ForwardTimeModel().seconds(100) == 0
    assert ForwardTimeModel().fixed_volume is None


def test_a_line_is_found() -> None:
    model = learned(lambda volume: 0.008 + 0.0002 * volume, [10, 300, 40, 120])
    assert model.seconds(500) == pytest.approx(0.108)
    assert model.fixed_volume == pytest.approx(40)


def test_the_volume_of_a_time_is_found() -> None:
    model = learned(lambda volume: 0.008 + 0.0002 * volume, [10, 300, 40, 120])
    assert model.volume_within(0.108) == pytest.approx(500)
    assert model.volume_within(0.001) == 0
    assert learned(lambda volume: 0.2, [8]).volume_within(0.1) == math.inf


def test_company_is_free_until_volumes_differ() -> None:
    model = learned(lambda volume: 0.2, [8])
    assert model.seconds(800) == pytest.approx(0.2)
    assert model.fixed_volume is None


def test_a_model_that_always_takes_the_same_time_has_no_slope() -> None:
    model = learned(lambda volume: 0.2, [8, 160, 160, 24])
    assert model.seconds(10_000) == pytest.approx(0.2)
    assert model.fixed_volume == math.inf


def test_time_that_falls_with_volume_is_not_believed() -> None:
    model = learned(lambda volume: 1 / volume, [1, 10, 100])
    assert model.seconds(1000) == pytest.approx(model.seconds(1))


def test_a_fixed_part_below_zero_is_not_believed() -> None:
    model = learned(lambda volume: volume**2 * 1e-6, [100, 200, 300])
    assert model.fixed_volume == 0
    assert model.seconds(0) == 0


def test_noise_leaves_a_line_within_a_few_per_cent() -> None:
    dice = random.Random(3)
    volumes = [dice.randint(10, 500) for _ in range(200)]
    model = learned(lambda volume: (0.008 + 0.0002 * volume) * dice.uniform(0.8, 1.2), volumes)
    assert model.seconds(400) == pytest.approx(0.088, rel=0.1)


def test_a_machine_that_stood_still_once_changes_little() -> None:
    model = learned(lambda volume: 0.01 + 0.0001 * volume, [10, 200, 100] * 20)
    model.learn(100, 60.0)
    assert model.seconds(100) < 2 * 0.02


def test_a_machine_that_became_slower_is_believed() -> None:
    model = learned(lambda volume: 0.01 + 0.0001 * volume, [10, 200, 100] * 20)
    for volume in [10, 200, 100] * 30:
        model.learn(volume, 10 * (0.01 + 0.0001 * volume))
    assert model.seconds(200) == pytest.approx(0.3, rel=0.1)


def test_where_forwards_take_what_was_expected_that_is_the_upper_bound() -> None:
    model = learned(lambda volume: 0.01 + 0.0001 * volume, [10, 200, 100] * 20)
    assert model.upper_bound(100) == pytest.approx(0.02)


def test_the_upper_bound_has_room_for_what_forwards_are_usually_off_by() -> None:
    dice = random.Random(3)
    volumes = [dice.randint(10, 500) for _ in range(200)]
    model = learned(lambda volume: (0.008 + 0.0002 * volume) * dice.uniform(0.8, 1.2), volumes)
    assert model.upper_bound(400) == pytest.approx(1.1 * model.seconds(400), rel=0.05)


def test_a_model_that_takes_no_time_is_believed_too() -> None:
    model = learned(lambda volume: 0.0, [10] * 20)
    model.learn(10, 0.01)
    assert 0 < model.seconds(10) <= model.upper_bound(10)
