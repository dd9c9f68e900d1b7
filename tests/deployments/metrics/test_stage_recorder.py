from __future__ import annotations

from deployments.metrics.stage_recorder import (
    MAX_STAGES,
    StageRecorder,
    recorded,
    recorder_here,
)


def test_a_recorder_is_there_within_its_call_alone() -> None:
    assert recorder_here() is None
    with recorded() as recorder:
        assert recorder_here() is recorder
    assert recorder_here() is None


def test_stages_are_in_the_order_in_which_they_began() -> None:
    recorder = StageRecorder()
    recorder.add("forward", 2.0, 3.0, items=4, requests=2)
    recorder.add("queue", 1.0, 2.0)
    timing = recorder.timing()
    assert [stage.name for stage in timing.stages] == ["queue", "forward"]
    assert timing.stages[1].seconds == 1.0
    assert timing.stages[1].began - timing.stages[0].began == 1.0
    assert timing.seconds >= 0


def test_stages_are_bounded_and_those_left_out_are_counted() -> None:
    recorder = StageRecorder()
    for _ in range(MAX_STAGES + 3):
        recorder.add("forward", 1.0, 2.0)
    timing = recorder.timing()
    assert (len(timing.stages), timing.left_out) == (MAX_STAGES, 3)
