"""A bench that gets SIGTERM ends what it has started, whatever signals come meanwhile."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import signal
from bench.peers.running import end_on_sigterm

end_on_sigterm()
try:
    try:
        signal.raise_signal(signal.SIGTERM)
    finally:
        for each in (signal.SIGTERM, signal.SIGINT):
            signal.raise_signal(each)
            print("still ends after", each.name)
except KeyboardInterrupt:
    print("interrupted")
"""


def test_a_signal_interrupts_and_further_ones_do_not_interrupt_the_end() -> None:
    """In a process of its own: in that of other tests Ray takes signals for itself."""
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=60
    )
    assert ran.stdout.splitlines() == [
        "still ends after SIGTERM",
        "still ends after SIGINT",
        "interrupted",
    ]
