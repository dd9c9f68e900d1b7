"""A grammar's trial: compiles it in a process with little time and memory, to see if it can be.

    python trial.py < SOURCE

Some small grammars take time and memory that grow exponentially with their size, and the compiler
cannot be stopped. So each is first compiled in a process of its own: this file, run by itself. It
prints the compiler's objection, and the system kills it when it takes too much.
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
"""Ten times what the largest grammars take that are not exponential."""

MEMORY_BYTES = 128 * 2**20
"""On top of the process's memory before it compiles."""

TIMEOUT_S = 30.0
"""Wall-clock time, for a machine so busy that the process hardly runs."""

NICENESS = 5
"""The same as for forwards (:mod:`deployments.models.thread_priority`): event loops go first."""

OUT_OF_MEMORY = 3
"""The exit code of the process when Python raises ``MemoryError``."""

TOO_COMPLEX = "it is too complex: compiling it takes too long or too much memory"

UNDECIDED = "a grammar could not be tried out in time"

LIMIT_SIGNALS = frozenset({signal.SIGXCPU, signal.SIGABRT, signal.SIGSEGV})
"""The signals that end a process which has used up its time or its memory."""

SEPARATOR = "\0"
"""Separates a grammar from each of its alternatives alone, in the input, and the number of an
alternative from the objection to it, in the output."""

TEXTS = 4
TEXT_BYTES = 100
"""Random texts that are written under the grammar: some grammars compile, and then grow with every
character."""

ONE_THREAD = {"RAYON_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}


class GrammarTrial:
    """The trial of one grammar, in llguidance's notation."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._process: subprocess.Popen[bytes] | None = None
        self._ended = False

    def run(self) -> str:
        """Why the grammar cannot be compiled, in llguidance's words; empty when it can.

        Blocks, for a tenth of a second with most grammars. Raises ``TimeoutError`` when the machine
        has no time or memory for the process or :meth:`end` was called, and ``RuntimeError`` when
        the process fails for another reason.
        """
        if self._ended:
            raise TimeoutError(UNDECIDED)
        try:
            started = self._start()
        except OSError as error:  # the system has no process or memory left
            raise TimeoutError(UNDECIDED) from error
        with started as process:
            self._process = process
            if self._ended:  # by another thread, which may have seen no process yet
                process.kill()
            try:
                output, errors = process.communicate(self._source.encode(), TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                raise TimeoutError(UNDECIDED) from None
        return _objection_of(process.returncode, output.decode(), errors.decode())

    def end(self) -> None:
        """Kill the process, or prevent its start. Thread-safe, returns at once."""
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


def _objection_of(code: int, output: str, errors: str) -> str:
    """The objection that an exit code and the output of the process mean."""
    if -code in LIMIT_SIGNALS or code == OUT_OF_MEMORY:
        return TOO_COMPLEX
    if code < 0:  # killed from outside, for instance because the machine is out of memory
        raise TimeoutError(UNDECIDED)
    if code > 0:
        raise RuntimeError(f"a grammar's trial failed: {errors[-500:]}")
    return output


def limits() -> LLParserLimits:
    """llguidance's bounds: a lexer state takes 1 to 2 kB. Messages quote no part of the grammar."""
    return LLParserLimits(max_lexer_states=20_000, max_grammar_size=100_000, verbose_errors=False)


def _main() -> None:
    whole, *alone = sys.stdin.buffer.read().decode().split(SEPARATOR)
    tokenizer = LLTokenizer("byte")
    os.nice(NICENESS)
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S + 1))
    with suppress(OSError):  # not Linux: time is bounded alone
        max_data_bytes = _data_bytes() + MEMORY_BYTES
        resource.setrlimit(resource.RLIMIT_DATA, (max_data_bytes, max_data_bytes))
    try:
        objection = _objection(tokenizer, whole)
        if objection:
            objections = ((i, _objection(tokenizer, each)) for i, each in enumerate(alone))
            objection = next((f"{i}{SEPARATOR}{each}" for i, each in objections if each), objection)
    except MemoryError:
        sys.exit(OUT_OF_MEMORY)
    sys.stdout.write(objection)


def _objection(tokenizer: LLTokenizer, source: str) -> str:
    """llguidance's objection to compiling a grammar or to writing random texts under it."""
    matcher = LLMatcher(tokenizer, source, limits=limits(), log_level=0)
    rng = random.Random(0)
    for _ in range(TEXTS):
        if matcher.is_error():
            break
        matcher.reset()
        _write_text(matcher, rng)
    return (matcher.get_error() or "it is not valid") if matcher.is_error() else ""


def _write_text(matcher: LLMatcher, rng: random.Random) -> None:
    for _ in range(TEXT_BYTES):
        bits = matcher.compute_bitmask()
        allowed = [i for i in range(256) if bits[i >> 3] & (1 << (i & 7))]
        if matcher.is_error() or not allowed:
            return
        matcher.consume_token(rng.choice(allowed))
        if matcher.is_stopped():
            return


def _data_bytes() -> int:
    """The data segment of this process, which ``RLIMIT_DATA`` bounds."""
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[5]
    return int(pages) * resource.getpagesize()


if __name__ == "__main__":
    _main()
