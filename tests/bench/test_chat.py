"""The table of `bench.chat`: medians of measurements, and dashes where there are none."""

from __future__ import annotations

from bench.chat import CollectedFigures, peers, row
from bench.pairs import Figures as Side
from bench.pairs import Pair
from serve_app.load.figures import LoadFigures, RequestSample, figures


def round_of(first_s: float, tokens: int) -> LoadFigures:
    sample = RequestSample(0.0, 2.0, units=tokens, first_s=first_s, last_s=2.0)
    return figures([sample], clients=1, unit="tokens")


def test_a_row_has_both_sides_medians_and_the_median_of_ratios() -> None:
    pair = Pair(Side("ours", "Q4_1", (100, 90, 120)), Side("theirs", "float32", (50, 30, 40)))
    mine = CollectedFigures([round_of(0.1, 48), round_of(0.3, 46), round_of(0.2, 47)])
    theirs = CollectedFigures([round_of(1.0, 48)] * 3)
    assert row(pair, (mine, theirs), "≥ 2") == [
        *("theirs", "Q4_1", "float32", "100.0", "40.0", "**3.00**", "2.00–3.00", "≥ 2"),
        *("200 / 1000", "47 / 48"),
    ]


def test_what_does_not_stream_has_no_first_token() -> None:
    whole = figures([RequestSample(0.0, 1.0, units=9)], clients=1, unit="tokens")
    pair = Pair(Side("ours", "Q4_1", (1,)), Side("plain", "float32", (2,)))
    collected = (CollectedFigures([round_of(0.1, 9)]), CollectedFigures([whole]))
    assert row(pair, collected, "")[-2:] == ["100 / –", "9 / 9"]


def test_every_peer_has_aims_for_what_is_measured() -> None:
    known = peers(16, "auto")
    assert [name for name, each in known.items() if not each.aims] == ["llama_cpp", "plain"]
    assert known["llama_server"].aims[16, "auto"] == "≥ 2"
