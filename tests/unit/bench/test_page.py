"""tests.bench.page: what the table says, which rows are kept, and that the committed page is of the committed run."""

from dataclasses import replace

import pytest

from tests.bench import page
from tests.bench.machine import Machine, refusal
from tests.bench.page import BEGIN, END, Run, compared, merged, page_with, quotes, table, worsened
from tests.bench.results import Claim, Row
from tests.bench.sampling import Measure

MACHINE = Machine(
    taken_at="2026-11-23T10:00Z", cores=2, memory_mib=4096, load=0.1, kernel="6.1", commit="abc", versions={"nft": "1.0.6"}
)
OURS = Measure(subject="kubereach", unit="ms", values=(10.0, 20.0, 30.0, 40.0, 50.0))
RATIO = Claim(words="p50 / theirs", value=3.0, limit=1.5, ratio=True)
ROW = Row(id="P1", what="open path", measures=(OURS,), claims=(RATIO,), stages={"twin": 12.5}, note="a note", load=0.4)
RUN = Run(machine=MACHINE, rounds=5, not_quotable="", rows=(ROW,))


def test_a_row_has_its_median_spread_count_target_and_load() -> None:
    text = table(RUN)
    assert "| P1 | open path | kubereach: 30 [20-40] ms, n=5, slowest 50 |" in text
    assert "p50 / theirs: 3 (at most 1.5): **missed** by 2 x | 0.4 |" in text
    assert "- P1: twin 12.5" in text
    assert "P1: a note." in text
    assert "load 0.1 before. nft 1.0.6." in text


@pytest.mark.parametrize(
    ("claim", "words"),
    [
        pytest.param(replace(RATIO, value=1.5), "1.5 (at most 1.5): met", id="at the limit is met"),
        pytest.param(replace(RATIO, value=1.51), "**missed** by 1.01 x", id="above is missed"),
        pytest.param(replace(RATIO, limit=None), "3 (no target)", id="without a limit"),
        pytest.param(replace(RATIO, limit=0.0), "(at most 0): **missed** |", id="no multiple of nothing"),
        pytest.param(replace(RATIO, unit="MiB"), "3 MiB (at most 1.5 MiB)", id="with a unit"),
    ],
)
def test_a_claim_says_whether_it_is_met_and_by_how_much_not(claim: Claim, words: str) -> None:
    assert words in table(replace(RUN, rows=(replace(ROW, claims=(claim,)),)))


def test_what_was_lost_and_what_may_not_be_quoted_is_said() -> None:
    text = table(replace(RUN, not_quotable="the load is 9", rows=(Row(id="P4", what="whole", lost=("nft takes too long",)),)))
    assert text.startswith("**Not to be quoted:** the load is 9.\n")
    assert "| P4 | whole | not measured | - |" in text
    assert "P4, not measured: nft takes too long" in text


def test_a_busy_machine_is_refused() -> None:
    assert refusal(replace(MACHINE, load=1.0)) == ""
    assert "load is 1.01 on 2 cores" in refusal(replace(MACHINE, load=1.01))


def test_only_the_place_for_the_table_changes() -> None:
    found = page_with(f"before\n{BEGIN}\nold\n{END}\nafter\n", table(RUN))
    assert found == f"before\n{BEGIN}\n{table(RUN)}{END}\nafter\n"
    with pytest.raises(ValueError, match="no place"):
        page_with("no table here", table(RUN))


def test_a_run_is_read_as_it_was_written(tmp_path, monkeypatch) -> None:
    data, text = tmp_path / "performance.json", tmp_path / "performance.md"
    readme = tmp_path / "README.md"
    for file, name in ((text, "PAGE"), (readme, "README")):
        file.write_text(f"before\n{BEGIN}\n{END}\nafter\n")
        monkeypatch.setattr(page, name, file)
    monkeypatch.setattr(page, "DATA", data)
    run = replace(RUN, rows=(replace(ROW, claims=(RATIO, replace(RATIO, limit=None))), Row(id="P4", what="", lost=("why",))))
    page.write(run)
    assert page.read(data) == run
    assert text.read_text() == page_with(f"before\n{BEGIN}\n{END}\nafter\n", table(run))
    assert readme.read_text() == page_with(f"before\n{BEGIN}\n{END}\nafter\n", quotes(run))


def test_readme_quotes_what_was_measured_with_its_spread() -> None:
    measures = tuple(replace(OURS, subject=name) for name in ("kubereach explain, 100k", "kubereach's peak"))
    offline = Row(id="P5", what="", measures=measures)
    words = "A packet explained offline through 100,000 rules: 30 [20-40] ms from process start, and at most 30 [20-40] ms."
    assert quotes(replace(RUN, rows=(ROW, offline))) == f"- {words}\n"


def test_a_page_without_a_run_says_so() -> None:
    assert "make bench" in page_with(f"{BEGIN}\n{END}", None)


def test_rows_of_the_same_commit_and_worth_are_kept_in_order() -> None:
    tenth, second = replace(ROW, id="P10"), replace(ROW, id="P2")
    assert [row.id for row in merged(replace(RUN, rows=(tenth, ROW)), replace(RUN, rows=(second,))).rows] == ["P1", "P2", "P10"]
    other = replace(RUN, machine=replace(MACHINE, commit="def"))
    assert merged(other, RUN) is RUN
    assert merged(replace(RUN, not_quotable="busy"), RUN) is RUN
    assert merged(None, RUN) is RUN


def test_a_ratio_that_grew_by_more_than_a_third_is_found() -> None:
    def with_value(value: float) -> Run:
        return replace(RUN, rows=(replace(ROW, claims=(replace(RATIO, value=value), Claim(words="ms", value=1000 * value))),))

    assert worsened(RUN, with_value(4.0)) == []
    assert worsened(RUN, with_value(4.1)) == ["P1 p50 / theirs: 4.1, and was 3"]
    assert compared(RUN, with_value(4.1)) == 1


def test_the_page_that_is_kept_is_of_the_run_that_is_kept() -> None:
    run = page.read()
    for file, body in ((page.PAGE, table(run) if run else None), (page.README, quotes(run) if run else None)):
        text = file.read_text(encoding="utf-8")
        assert text == page_with(text, body), f"{file.name} was not written with docs/performance.json: run `make bench`"
