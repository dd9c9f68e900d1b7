"""A bench that gets SIGTERM ends what it has started, whatever signals come meanwhile."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from bench.peers.running import end_on_sigterm


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """The handlers of the tests, put back."""
    before = {each: signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_signal_interrupts_and_further_ones_do_not_interrupt_the_end() -> None:
    ended = []
    end_on_sigterm()

    def started() -> None:
        try:
            signal.raise_signal(signal.SIGTERM)
        finally:
            for each in (signal.SIGTERM, signal.SIGINT):
                signal.raise_signal(each)
                ended.append(each)

    with pytest.raises(KeyboardInterrupt):
        started()
    assert ended == [signal.SIGTERM, signal.SIGINT]
