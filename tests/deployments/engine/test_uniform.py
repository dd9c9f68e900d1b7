from __future__ import annotations

from deployments.engine.uniform import UniformNumbers


def test_a_number_is_a_function_of_seed_and_position_only() -> None:
    numbers = UniformNumbers(11)
    forward = [numbers.at(position) for position in range(200)]
    backward = [numbers.at(position) for position in reversed(range(200))]
    resumed = UniformNumbers(11)
    assert forward == backward[::-1]
    assert [resumed.at(position) for position in range(100, 200)] == forward[100:]
    assert len({*forward, *(UniformNumbers(12).at(position) for position in range(200))}) == 400


def test_numbers_do_not_change_between_machines_and_releases() -> None:
    assert UniformNumbers(1).at(0) == 0.3035680343067586
    assert UniformNumbers(2**64 - 1).at(4096) == 0.518600535768714
