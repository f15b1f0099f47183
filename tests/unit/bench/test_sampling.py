"""tests.bench.sampling: who is called when, and what is said of the values."""

from collections.abc import Callable

from tests.bench.sampling import Measure, interleave


def test_subjects_take_turns_and_the_first_one_changes() -> None:
    calls: list[str] = []

    def subject(name: str) -> Callable[[], float]:
        return lambda: float(calls.append(name) or len(calls))

    found = interleave({"a": subject("a"), "b": subject("b")}, rounds=2, each=2)
    assert "".join(calls) == "aabbbbaa"
    assert [(measure.subject, measure.values) for measure in found] == [("a", (1, 2, 7, 8)), ("b", (3, 4, 5, 6))]


def test_the_worst_of_few_is_the_slowest_and_of_many_the_99th_percentile() -> None:
    few = Measure(subject="few", unit="ms", values=(1.0, 5.0, 3.0))
    many = Measure(subject="many", unit="ms", values=tuple(float(number) for number in range(101)))
    assert (few.median, few.quartiles, few.worst) == (3.0, (2.0, 4.0), 5.0)
    assert many.worst == 99.0


def test_one_value_has_no_spread() -> None:
    assert Measure(subject="one", unit="MiB", values=(7.0,)).quartiles == (7.0, 7.0)
