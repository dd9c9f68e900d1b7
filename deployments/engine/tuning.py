"""The engine's constants that were measured, in one place. Each names the bench that shows it.

Benches run as ``python -m bench.NAME``. Constants that follow from a file format, a library or a
protocol stay where they are used.
"""

# Scheduler: bench.fairness (how long a short request takes beside a heavy client).
PREEMPTION_QUANTUM = 256
"""Decoded tokens by which a running request must be ahead of a waiting one to lose its last slot to
it. Smaller is fairer and costs more: a resumed sequence is prefilled again."""

SLOT_QUANTUM = 64
"""Decoded tokens that a request has in its last slot before it gives it to a new one of the same
owner, unless it has had a ``PREEMPTION_QUANTUM`` in all, or may still have as much: then it is
``NEW_REQUEST_CREDIT``. Under overload there are always new ones, and short answers must come to
their end all the same (``python -m bench.overload``)."""

DUE_S_PER_TOKEN = 0.01
LONG_TOKENS = 1024
"""A waiting request is overtaken by others of its owner that come up to so many seconds later for
each token that it may decode more than they, up to 10 s in all."""

NEW_REQUEST_CREDIT = 16
"""Decoded tokens that a new request may have before it counts as served as much as the others.
Until then no other new request takes its slot."""

CONTENDED_STEP_FACTOR = 1.3
"""While another tenant has used the engine in the last second, the sequences of one may make a step
so many times as long as the same number of both would. More is better use of the slots; less slows
the other one less (``python -m bench.fair_keys``)."""

OVER_BOUND = 1.5
"""Running sequences are preempted only if a tenant has so many times as many as it may: a preempted
one is prefilled again."""

MAX_CLAIMANTS = 8
"""Waiting requests, of the first new ones, the shortest others and the old ones each, for which one
step looks for a slot to preempt."""

# Torch runner: bench.chat with a torch model.
PREFILL_TOKENS_PER_UNIT = 32
"""Prompt tokens that take about as long to prefill as one token takes to decode."""

DEFAULT_PREFILL_CHUNK = 512
"""Chunked prefill: prompt tokens of one step. A longer chunk is faster, and holds up the others for
longer."""

MAX_MIXED_PREFILL_ON_CPU = 64
"""Prompt tokens of a step that decodes other sequences too, on a CPU: so many cost about as much as
the tokens of 16 sequences, whose gaps between tokens stay below three times the usual."""

MAX_SCORED_PREFILL = 128
"""Prompt tokens of a step whose log-probabilities are wanted: each needs a row of logits, which are
0.6 MB in float32 for a vocabulary of 150,000 tokens."""

CACHED_WINDOWS = 16
"""Full windows of cached prefixes, beside those of the slots, that the default KV cache of a small
model has room for."""

# Sampler: bench.sampling, on a CPU.
MAX_CANDIDATES = 1024
"""Most likely tokens among which top-k and top-p look for their last one at first. To sort a whole
vocabulary takes several times as long as all the rest, and few rows need it."""

MORE_CANDIDATES = 16
"""How many times as many a row gets, as often as those before were too few."""

CPU_CHUNK = 2**22
"""Logits that are computed together on a CPU, 16 MiB of float32. More need fresh pages from the
system in every step, because allocators do not keep that much; fewer cost more calls."""

# OpenVINO runner: bench.chat and bench.heavy.
SEED_SEGMENT_TOKENS = 128
"""Tokens that are sampled from one seed. A resumed sequence replays at most so many."""

MAX_EVICTIONS = 8
"""Evictions in a row, without a token between them, after which a sequence fails."""

# Token stream pacing: bench.streams (tokens a second to 64 clients).
PACING_FACTOR = 3.0
"""Wait three times the time we spend on an item before sending the next: the ingress, often on the
same cores, needs about 1.5 times as long for it."""

MAX_ITEM_S = 0.005
"""Ignore measurements above this: the reader was slow or the event loop busy."""

# Detokenizer: bench.streams counts its time on the engine's thread.
DETOKENIZER_CONTEXT = 8
"""Tokens before the next one that its text may depend on. Some decoders treat the first token of a
text differently, such as by stripping its space."""

MAX_HELD_TOKENS = 8
"""Tokens held back while their text ends in U+FFFD, where the bytes of tokens are not known."""

# Prompts: bench.chat (time to the first token).
TOKENIZING_THREADS = 2
"""Prompts that a replica tokenizes at a time."""

# Grammars: tests/deployments/engine/grammar holds the worst grammars known; no bench.
MAX_GRAMMAR_BYTES = 32 * 1024
"""Size of a grammar's source: a literal costs some milliseconds a step for each 10 KiB."""

CACHED_GRAMMARS = 16
"""Compiled grammars of a model that are cached: kilobytes each, some megabytes for the worst."""

MAX_RUNNING_TRIALS = 2
"""Trials of grammars at a time; each may take a second of one core."""

MAX_WAITING_TRIALS = 16
"""Different grammars that wait for a trial: if all are bad the last begins after about ten seconds
on a free processor. A good one should not be held for longer."""

COMPILING_THREADS = 2
"""Grammars that passed their trial and are compiled at a time, most of them in milliseconds."""

REMEMBERED_TRIALS = 256
"""Grammars whose trial is not repeated."""
