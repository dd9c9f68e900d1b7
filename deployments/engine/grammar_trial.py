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

NO_MEMORY = 3
"""The process' exit code when the interpreter notices by itself."""

TOO_COMPLEX = "it is too complex: compiling it takes too long or too much memory"

VERDICTS = frozenset({signal.SIGXCPU, signal.SIGABRT, signal.SIGSEGV})
"""How the process ends that has used up its time or its memory."""

ONE_THREAD = {"RAYON_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}


def trial(source: str) -> str | None:
    """Why llguidance's ``source`` cannot be compiled, in its own words; ``None`` when it can.

    Blocks, a tenth of a second for most. Raises ``TimeoutError`` when the machine is too busy or
    too full to tell, and ``RuntimeError`` when the trial itself is broken.
    """
    try:
        done = subprocess.run(
            [sys.executable, "-I", Path(__file__)],
            input=source.encode(),
            capture_output=True,
            env={**os.environ, **ONE_THREAD},
            timeout=PATIENCE_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise TimeoutError("a grammar could not be tried out in time") from None
    if -done.returncode in VERDICTS or done.returncode == NO_MEMORY:
        return TOO_COMPLEX
    if done.returncode < 0:  # by another's hand, such as the system's when its memory is short
        raise TimeoutError("a grammar could not be tried out")
    if done.returncode > 0:
        raise RuntimeError(f"a grammar's trial failed: {done.stderr.decode()[-500:]}")
    return done.stdout.decode() or None


def limits() -> LLParserLimits:
    """Bounds of time and memory (1 to 2 kB a lexer state); no parts of the grammar in messages."""
    return LLParserLimits(max_lexer_states=20_000, max_grammar_size=100_000, verbose_errors=False)


def _main() -> None:
    source = sys.stdin.buffer.read().decode()
    tokenizer = LLTokenizer("byte")
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
