import pytest

from agent.analysis.readers.intervals import masked, merged
from agent.analysis.readers.numerals import parse_masked, parse_number
from agent.model.ruleset import Intervals, Masked


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0),
        ("22", 22),
        ("0x16", 22),
        ("026", 22),
        ("08", None),
        ("-1", None),
        ("", None),
        ("²", None),
        ("٣", None),
        ("9" * 5000, None),
        ("65536", None),
        ("1e3", None),
    ],
)
def test_numbers_read_as_strtoul_does(text: str, value: int | None) -> None:
    assert parse_number(text, 65535) == value


def test_marks_have_a_full_mask_by_default() -> None:
    assert parse_masked("0x4000/0x4000") == (0x4000, 0x4000)
    assert parse_masked("1") == (1, 0xFFFFFFFF)
    assert parse_masked("x/1") is None


def test_intervals_have_one_form() -> None:
    assert merged([(5, 6), (1, 2), (3, 3)]) == Intervals(((1, 3), (5, 6)))
    assert masked(0x0A00, 0xFF00, 16) == Intervals(((0x0A00, 0x0AFF),))
    assert masked(1, 0xFF, 32) == Masked(0xFF, 1)
