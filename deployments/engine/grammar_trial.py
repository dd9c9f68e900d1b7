"""Whether a grammar can be compiled at all, found out where it can do no harm.

    python grammar_trial.py < SOURCE

Some small grammars take time and memory that grow exponentially, and the compiler cannot be
stopped. So each is compiled first in a process that has little of either: this file, run by itself,
which prints what the compiler objects to, and is ended by the system when it takes too much.
"""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from llguidance import LLMatcher, LLParserLimits, LLTokenizer

CPU_S = 1
"""Ten times what the largest grammars take whose cost does not grow exponentially."""

MEMORY_BYTES = 128 * 2**20
"""On top of what the process has before it compiles."""

PATIENCE_S = 30.0
"""For a machine so busy that the process hardly runs."""

NICENESS = 5
"""As arithmetic has (:mod:`deployments.priority`): event loops go before both."""

NO_MEMORY = 3
"""The process' exit code when the interpreter notices by itself."""

TOO_COMPLEX = "it is too complex: compiling it takes too long or too much memory"

UNDECIDED = "a grammar could not be tried out in time"

VERDICTS = frozenset({signal.SIGXCPU, signal.SIGABRT, signal.SIGSEGV})
"""How the process ends that has used up its time or its memory."""

ONE_THREAD = {"RAYON_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}


class Trial:
    """The trial of one grammar, in llguidance's notation."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._process: subprocess.Popen[bytes] | None = None
        self._ended = False

    def run(self) -> str:
        """Why it cannot be compiled, in llguidance's own words; empty when it can.

        Blocks, a tenth of a second for most. Raises ``TimeoutError`` when the machine is too busy
        or too full to tell, or the trial was ended, and ``RuntimeError`` when the trial itself is
        broken.
        """
        if self._ended:
            raise TimeoutError(UNDECIDED)
        try:
            started = self._start()
        except OSError as error:  # no process or memory is left
            raise TimeoutError(UNDECIDED) from error
        with started as process:
            self._process = process
            if self._ended:  # meanwhile: either this or the one who ends it sees the other
                process.kill()
            try:
                told, complaint = process.communicate(self._source.encode(), PATIENCE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                raise TimeoutError(UNDECIDED) from None
        return _verdict(process.returncode, told.decode(), complaint.decode())

    def end(self) -> None:
        """Kill its process, or let it have none. Thread-safe, returns at once."""
        self._ended = True
        if self._process is not None:
            self._process.kill()

    def _start(self) -> subprocess.Popen[bytes]:
        pipe = subprocess.PIPE
        return subprocess.Popen(
            [sys.executable, "-I", Path(__file__)],
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            env={**os.environ, **ONE_THREAD},
        )


def _verdict(code: int, told: str, complaint: str) -> str:
    if -code in VERDICTS or code == NO_MEMORY:
        return TOO_COMPLEX
    if code < 0:  # by another's hand, such as the system's when its memory is short
        raise TimeoutError(UNDECIDED)
    if code > 0:
        raise RuntimeError(f"a grammar's trial failed: {complaint[-500:]}")
    return told


def limits() -> LLParserLimits:
    """Bounds of time and memory (1 to 2 kB a lexer state); no parts of the grammar in messages."""
    return LLParserLimits(max_lexer_states=20_000, max_grammar_size=100_000, verbose_errors=False)


def _main() -> None:
    source = sys.stdin.buffer.read().decode()
    tokenizer = LLTokenizer("byte")
    os.nice(NICENESS)
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S + 1))
    with suppress(OSError):  # not Linux: time is bounded alone
        most = _data_bytes() + MEMORY_BYTES
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))
    try:
        matcher = LLMatcher(tokenizer, source, limits=limits(), log_level=0)
    except MemoryError:
        sys.exit(NO_MEMORY)
    if matcher.is_error():
        sys.stdout.write(matcher.get_error() or "it is not valid")


def _data_bytes() -> int:
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[5]
    return int(pages) * resource.getpagesize()


if __name__ == "__main__":
    _main()
