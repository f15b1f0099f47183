"""`make bench-short`: when a ratio that is worse than the kept one fails, and when it is the machine's doing."""

from dataclasses import replace

import pytest

from tests.bench import __main__ as bench
from tests.bench import kept_code
from tests.bench.machine import Machine
from tests.bench.page import Run
from tests.bench.results import Claim, NotMeasured, Row

MACHINE = Machine(taken_at="2026-11-23T10:00Z", cores=2, memory_mib=4096, load=0.1, kernel="6.1", commit="abc", versions={})


def run_of(ratio: float) -> Run:
    row = Row(id="P4", what="whole", claims=(Claim(words="ours / theirs", value=ratio, ratio=True),))
    return Run(machine=MACHINE, rounds=3, not_quotable="", rows=(row,))


def never() -> Run:
    raise AssertionError("measured again without need")


@pytest.mark.parametrize(
    ("then", "again", "code"),
    [
        pytest.param(4.5, 4.6, 0, id="the same code is as slow here"),
        pytest.param(3.0, 4.6, 1, id="the change made it slow"),
        pytest.param(3.0, 3.2, 0, id="it was a moment's doing"),
    ],
)
def test_a_worse_ratio_is_held_against_the_kept_code_on_this_machine(monkeypatch, capsys, then, again, code):
    asked = []
    monkeypatch.setattr(kept_code, "measure", lambda commit, rows: asked.append((commit, rows)) or run_of(then))
    assert bench.compare(run_of(3.0), run_of(4.6), lambda: run_of(again)) == code
    assert asked == [("abc", ["P4"])]
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "P4 ours / theirs: 4.6, and was 3"
    assert len(said) == 2


@pytest.mark.parametrize("when", ["first", "again"])
def test_a_row_that_was_not_measured_is_no_row_that_stayed_as_it_was(monkeypatch, capsys, when):
    gone = replace(run_of(3.0), rows=(Row(id="P4", what="whole", lost=("nft ended with status 1",)),))
    monkeypatch.setattr(kept_code, "measure", lambda *_: run_of(3.0))
    assert bench.compare(run_of(3.0), gone if when == "first" else run_of(4.6), lambda: gone) in (1, 2)
    both = replace(gone, rows=(*gone.rows, Row(id="P5", what="", claims=run_of(3.0).rows[0].claims)))
    kept = replace(run_of(3.0), rows=(*run_of(3.0).rows, both.rows[1]))
    worse = replace(kept, rows=(run_of(4.6).rows[0], both.rows[1]))
    assert bench.compare(kept, both if when == "first" else worse, lambda: both) == 1
    assert "P4, not measured: nft ended with status 1" in capsys.readouterr().out


def test_a_ratio_within_a_third_is_not_measured_again(monkeypatch, capsys):
    monkeypatch.setattr(kept_code, "measure", lambda *_: never())
    assert bench.compare(run_of(3.0), run_of(3.9), never) == 0
    assert capsys.readouterr().out == "1 ratios are no more than a third worse than in docs/performance.json\n"


def test_a_worse_ratio_fails_where_the_kept_code_cannot_be_had(monkeypatch, capsys):
    def lost(*_):
        raise NotMeasured("there is no abc here")

    monkeypatch.setattr(kept_code, "measure", lost)
    assert bench.compare(run_of(3.0), run_of(4.6), never) == 1
    assert "there is no abc here" in capsys.readouterr().out
