"""The constants of batching that were fitted by measurement, on two cores.

Each says what it bounds, and the command that shows what another value does.
"""

from __future__ import annotations

MAX_TIME_FACTOR = 2.0
"""If the first item alone exceeds the time limit, its batch may take up to twice that item's time.

With 1, a model whose forwards always exceed the limit answers one item at a time
(``python -m bench.schedules``)."""

UNMEASURED_PADDING = 1 / 3
"""Part of a batch that may be padding while the fixed time of a forward is not measured. With 1 all
batches hold everything and are alike, so that it never is (``python -m bench.schedules``)."""

REMEMBERED_FORWARDS = 32
"""Forwards that count in the forward time model, and after which it is trusted enough to compare
another with (``python -m bench.schedules``; 10 and 100 do as well)."""

MAX_SURPRISE = 4.0
"""A measurement is clipped at four times the expected time: a pause of the machine must not look
like a slow model (``python -m bench.schedules``)."""

CONTENDED_FACTOR = 1.1
CONTENDED_FIXED_TIMES = 1.4
CONTENDED_PART = 1 / 32
"""How long a batch may take beside another tenant, whose requests wait for it: the longest of

- 1.1 times as long as all that the other had waiting (and it may be made longer by so much by items
  of others). More lets a flood hold up the other's requests;
- 1.4 times the fixed time of a forward, two sevenths of which are then spent on items. Without
  this a flood on a CPU keeps as little as a sixth of its throughput; with 1.5 a flood of 64 clients
  slows another's single texts by more than half, with 1.3 it keeps a quarter of its throughput;
- a 32nd of the time since the other's last batch. So a tenant that sends one text a second costs
  others less, and waits longer for them.

``python -m bench.contention`` shows other values, ``python -m bench.fair_keys`` these over HTTP."""

CONTENTION_S = 1.0
"""A tenant bounds the others' running sequences for so long after it had some
(``python -m bench.fair_keys``)."""

REMEMBERED_S = 10.0
"""After so long a tenant is forgotten: 10/32 s bound no batch, unless ``max_forward_ms`` is more
than that."""

PART_ITEMS = 64
PART_CHARACTERS = 16_384
"""Texts, and their characters together, that are tokenized in one go: 10 to 40 ms, by script. Other
requests wait for so long (``python -m bench.fairness``)."""

SMALL_PIXELS = 4_000_000
"""Images up to this size are small: decoding and scaling them takes up to about 0.1 s
(``python -m bench.fairness``)."""

DUE_S_PER_PIXEL = 200e-9
"""An image is due after so many seconds a pixel, four times what preprocessing it takes
(``python -m bench.fairness``)."""
