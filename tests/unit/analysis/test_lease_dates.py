"""A rule that ends at a date, as a lease does: decided by when the look was made, and not beyond what that tells."""

from dataclasses import replace

import pytest

from agent.analysis.diagnosis.diagnose import analyse
from agent.analysis.readers.iptables_rule import read_words
from agent.analysis.readers.tokens import words
from agent.model.capture import Stage
from agent.model.explanation import Verdict
from agent.model.packet import Field
from agent.model.probe import Outcome, Vantage
from agent.model.ruleset import Compare, Intervals, Statement, Unsure
from tests.unit.analysis.diagnosis.captures import KUBELET_TLS, SEED, capture, firewall, probe

NOON = 1767268800  # 2026-01-01T12:00:00Z


def read(text: str) -> tuple[Statement, ...]:
    return read_words(words(text), "ip", frozenset()).statements


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("--datestop 2026-01-01T12:00:00", 0, NOON),
        ("--datestart 2026-01-01T12:00:00", NOON, 0xFFFFFFFF),
        ("--datestart 2026-01-01T12:00:00 --datestop 2026-01-01T12:00:01", NOON, NOON + 1),
    ],
)
def test_dates_alone_are_compared(text: str, low: int, high: int) -> None:
    assert read(f"-m time {text}") == (Compare(Field.TIME, Intervals(((low, high),))),)


@pytest.mark.parametrize(
    "text",
    [
        "--timestart 08:00:00 --datestop 2026-01-01T12:00:00",
        "--datestop 2026-01-01T12:00:00 --kerneltz",
        "--datestop 2026-01-01",
        "--datestop tomorrow",
        "--datestop 1969-12-31T23:59:59",
        "--datestop 0000-01-01T00:00:00",
        "--datestop 2107-01-01T00:00:00",
        "--datestart 2026-01-02T00:00:00 --datestop 2026-01-01T00:00:00",
        "! --datestop 2026-01-01T12:00:00",
        "--weekdays Mon",
    ],
)
def test_all_else_is_the_kernels_clock(text: str) -> None:
    found = read(f"-m time {text}")
    assert found
    assert all(isinstance(each, Unsure) for each in found)


def verdict(stop: str, taken_at: str = "2026-01-01T12:00:00.400Z", seconds: float | None = 2.0) -> Verdict:
    """Of the pod's packet, with a lease that ends at `stop` before the rule that rejects."""
    lease = f"-A INPUT -s 10.9.1.0/24 -m time --datestop {stop} -m comment --comment kubereach:0123456789ab -j ACCEPT"
    rules = SEED.format(hits=0).replace("[0:0] -A INPUT -j REJECT", f"[0:0] {lease}\n[0:0] -A INPUT -j REJECT")
    seen = capture(firewall(rules), pod=probe(Vantage.POD, Outcome.OPEN, tls=KUBELET_TLS))
    stages = () if seconds is None else (Stage(name="total", seconds=seconds),)
    explanation = analyse(replace(seen, taken_at=taken_at, stages=stages)).explanation
    assert explanation
    return explanation.verdict


def test_a_lease_that_lasts_lets_in() -> None:
    assert verdict("2026-01-01T12:00:04") is Verdict.ACCEPT


def test_a_lease_that_is_over_is_as_none() -> None:
    assert verdict("2026-01-01T11:59:59") is Verdict.REJECT


@pytest.mark.parametrize("stop", ["2026-01-01T12:00:00", "2026-01-01T12:00:02"])
def test_a_lease_that_ends_during_the_look_may_be_either(stop: str) -> None:
    assert verdict(stop) is Verdict.UNDECIDED


@pytest.mark.parametrize("taken_at", ["", "yesterday", "2026-01-01T12:00:00", "2026-01-01T12:00:60Z", "2026-13-01T12:00:00Z"])
def test_without_a_moment_nothing_is_claimed(taken_at: str) -> None:
    assert verdict("2026-01-01T12:30:00", taken_at) is Verdict.UNDECIDED


def test_a_look_of_unknown_length_is_taken_for_ten_seconds() -> None:
    assert verdict("2026-01-01T12:00:09", seconds=None) is Verdict.UNDECIDED
    assert verdict("2026-01-01T12:00:12", seconds=None) is Verdict.ACCEPT
