"""tests.accuracy.matrix: what counts as right, and that the page that is kept says so of today's incidents."""

import re
from pathlib import Path

import pytest

from agent.lab.incidents import INCIDENTS
from tests.accuracy.matrix import NOTHING, Trial, share, table

PAGE = Path(__file__).parents[3] / "docs" / "accuracy.md"
BLOCKED = ("input-reject", "critical")


def trial(*found: tuple[str, str], expected: str = "input-reject", state: str = "blocked", **parts: str) -> Trial:
    given = {"incident": "one", "backend": "nft", "expected_state": "blocked"} | parts
    return Trial(expected=expected, found=found, state=state, **given)


@pytest.mark.parametrize(
    ("case", "right"),
    [
        pytest.param(trial(BLOCKED), True, id="the cause and nothing else"),
        pytest.param(trial(BLOCKED, ("facts-conflict", "info")), True, id="with information beside it"),
        pytest.param(trial(BLOCKED, ("accept-dies-with-pod", "warning")), True, id="with something less severe beside it"),
        pytest.param(trial(BLOCKED, ("tls-failed", "critical")), False, id="a rival as severe"),
        pytest.param(trial(("input-drop", "critical")), False, id="another cause"),
        pytest.param(trial(("input-drop", "critical"), BLOCKED), False, id="the cause second"),
        pytest.param(trial(), False, id="nothing found"),
        pytest.param(trial(BLOCKED, state="degraded"), False, id="another state"),
        pytest.param(trial(problem="no end"), False, id="no report"),
        pytest.param(trial(expected="", state="reachable", expected_state="reachable"), True, id="healthy"),
        pytest.param(trial(BLOCKED, expected="", state="reachable", expected_state="reachable"), False, id="a false alarm"),
    ],
)
def test_right_is_the_staged_cause_first_and_alone(case: Trial, right: bool) -> None:
    assert case.right is right
    assert share([case]) == (1.0 if right else 0.0)


def test_the_table_names_what_was_found_instead() -> None:
    text = table(
        [trial(BLOCKED), trial(("input-drop", "critical")), trial(expected="", state="reachable", expected_state="reachable")]
    )
    assert "| input-reject | 2 | 1 | input-drop (1) |" in text
    assert f"| {NOTHING} | 1 | 1 | - |" in text
    assert "1 incidents, 3 diagnoses, 2 right: 67 %." in text
    assert "- WRONG: one on nft: staged input-reject (blocked), found input-drop (blocked)" in text


def test_the_page_that_is_kept_is_of_todays_incidents_and_all_right() -> None:
    page = PAGE.read_text(encoding="utf-8")
    counts = re.search(r"^(\d+) incidents, (\d+) diagnoses, (\d+) right: 100 %\.$", page, re.MULTILINE)
    assert counts, "run `make accuracy`"
    variants = sum(len(incident.backends) for incident in INCIDENTS)
    assert [int(count) for count in counts.groups()] == [len(INCIDENTS), variants, variants], "run `make accuracy`"
    assert set(re.findall(r"^\| ([a-z-]+) \|", page, re.MULTILINE)) == {i.expect.code for i in INCIDENTS if i.expect.code}
