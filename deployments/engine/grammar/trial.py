"""Whether a grammar can be compiled at all, found out where it can do no harm.

    python grammar_trial.py < SOURCE

Some small grammars take time and memory that grow exponentially, and the compiler cannot be
stopped. So each is compiled first in a process that has little of either: this file, run by itself,
which prints what the compiler objects to, and is ended by the system when it takes too much.
"""

from __future__ import annotations

import os
import random
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
"""As arithmetic has (:mod:`deployments.models.thread_priority`): event loops go before both."""

NO_MEMORY = 3
"""The process' exit code when the interpreter notices by itself."""

TOO_COMPLEX = "it is too complex: compiling it takes too long or too much memory"

UNDECIDED = "a grammar could not be tried out in time"

VERDICTS = frozenset({signal.SIGXCPU, signal.SIGABRT, signal.SIGSEGV})
"""How the process ends that has used up its time or its memory."""

PART = "\0"
"""Between a grammar and each of its alternatives alone, and between a number and an objection."""

WALKS = 4
STEPS = 100
"""Bytes of a text that are tried out: some grammars compile, and grow with every character."""

ONE_THREAD = {"RAYON_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}


class GrammarTrial:
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
    whole, *alone = sys.stdin.buffer.read().decode().split(PART)
    tokenizer = LLTokenizer("byte")
    os.nice(NICENESS)
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S + 1))
    with suppress(OSError):  # not Linux: time is bounded alone
        most = _data_bytes() + MEMORY_BYTES
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))
    try:
        objection = _objection(tokenizer, whole)
        if objection:
            told = ((i, _objection(tokenizer, each)) for i, each in enumerate(alone))
            objection = next((f"{i}{PART}{each}" for i, each in told if each), objection)
    except MemoryError:
        sys.exit(NO_MEMORY)
    sys.stdout.write(objection)


def _objection(tokenizer: LLTokenizer, source: str) -> str:
    """What llguidance has against a grammar when it compiles it, or begins a text."""
    matcher = LLMatcher(tokenizer, source, limits=limits(), log_level=0)
    draw = random.Random(0)
    for _ in range(WALKS):
        if matcher.is_error():
            break
        matcher.reset()
        _walk(matcher, draw)
    return (matcher.get_error() or "it is not valid") if matcher.is_error() else ""


def _walk(matcher: LLMatcher, draw: random.Random) -> None:
    for _ in range(STEPS):
        bits = matcher.compute_bitmask()
        allowed = [i for i in range(256) if bits[i >> 3] & (1 << (i & 7))]
        if matcher.is_error() or not allowed:
            return
        matcher.consume_token(draw.choice(allowed))
        if matcher.is_stopped():
            return


def _data_bytes() -> int:
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[5]
    return int(pages) * resource.getpagesize()


if __name__ == "__main__":
    _main()
