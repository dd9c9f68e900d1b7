import signal

import pytest

from serve_app.launcher.signals import STOPPING, StopSignals
from tests.serve_app.launcher.received import receive


@pytest.mark.parametrize("number", STOPPING)
def test_the_first_signal_interrupts_and_the_second_only_hurries(number: int) -> None:
    with StopSignals() as signals:
        with pytest.raises(KeyboardInterrupt):
            receive(number)
        assert signals.first == number
        assert not signals.hurry.is_set()
        receive(number)
        assert signals.hurry.is_set()


def test_once_disarmed_a_signal_raises_nothing() -> None:
    with StopSignals() as signals:
        signals.disarm()
        receive(signal.SIGTERM)
        assert signals.first == signal.SIGTERM


def test_a_signal_before_it_is_armed_interrupts_then() -> None:
    with StopSignals(armed=False) as signals:
        receive(signal.SIGTERM)
        assert signals.first == signal.SIGTERM
        with pytest.raises(KeyboardInterrupt):
            signals.arm()
        assert not signals.hurry.is_set()


def test_a_signal_after_it_is_armed_interrupts_at_once() -> None:
    with StopSignals(armed=False) as signals:
        signals.arm()
        with pytest.raises(KeyboardInterrupt):
            receive(signal.SIGTERM)


def test_handlers_are_put_back() -> None:
    before = [signal.getsignal(number) for number in STOPPING]
    with StopSignals():
        pass
    assert [signal.getsignal(number) for number in STOPPING] == before
