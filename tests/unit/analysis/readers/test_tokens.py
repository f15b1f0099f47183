import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agent.analysis.readers.tokens import logical_lines, stretches, unquoted, words


def test_a_quoted_string_keeps_its_lines_together() -> None:
    text = '-A INPUT -m comment --comment "x\n-A INPUT -j ACCEPT\n#" -j DROP\n-A INPUT -j RETURN\n'
    assert [number for number, _ in logical_lines(text)] == [1, 4]
    assert words(next(logical_lines(text))[1])[-2:] == ["-j", "DROP"]


@pytest.mark.parametrize(
    ("text", "count"),
    [
        pytest.param("# it's \"open\n-A INPUT -j DROP\n", 2, id="quotes in comments are text"),
        pytest.param(':we"ird - [0:0]\n-A INPUT -j DROP\n', 2, id="quotes in declarations are text"),
        pytest.param('-A we"ird -j DROP\n-A INPUT -j DROP\n', 2, id="a quote inside a word opens nothing"),
        pytest.param('-A INPUT --comment "open\n-A INPUT -j DROP\n', 2, id="a quote that never closes opens nothing"),
        pytest.param('[1:2] -A INPUT --comment "a\nb" -j DROP\n', 1, id="after a counter"),
        pytest.param("\n\n \t\n-A INPUT\r\nCOMMIT  \n", 2, id="blank lines and carriage returns"),
    ],
)
def test_lines(text: str, count: int) -> None:
    assert len(list(logical_lines(text))) == count


@pytest.mark.parametrize(
    ("line", "found"),
    [
        pytest.param('--comment "a b" -j X', ["--comment", '"a b"', "-j", "X"], id="quoted"),
        pytest.param('--comment "-j" -j X', ["--comment", '"-j"', "-j", "X"], id="an option in quotes is a value"),
        pytest.param(r'--comment "a \"b\" c"', ["--comment", r'"a \"b\" c"'], id="escaped quotes"),
        pytest.param('--set a{b}|;$^c"d', ["--set", 'a{b}|;$^c"d'], id="odd ipset names"),
        pytest.param("a\u00a0b c", ["a\u00a0b", "c"], id="only ASCII blanks part words"),
        pytest.param("", [], id="nothing"),
    ],
)
def test_words(line: str, found: list[str]) -> None:
    assert words(line) == found


@pytest.mark.parametrize(
    ("word", "bare"),
    [(r'"a \"b\" \'c\' \\"', r"""a "b" 'c' \ """.strip()), ("plain", "plain"), ('"', '"'), ('""', ""), ('"open', '"open')],
)
def test_unquoted(word: str, bare: str) -> None:
    assert unquoted(word) == bare


def cut(text: str) -> list[tuple[int, str]]:
    """Every stretch cut into its lines, each with its number in the whole text."""
    return [
        (stretch.number + number - 1, line)
        for stretch in stretches(text)
        for number, line in logical_lines(text[stretch.start : stretch.end])
    ]


def test_rules_of_one_chain_that_follow_each_other_are_one_stretch() -> None:
    text = '*filter\n-A X -j A\n[1:2] -A X --comment "a\n-A Y"\n-A Y -j B\n-A X -j C\nCOMMIT'
    assert [(each.number, each.chain) for each in stretches(text)] == [(1, ""), (2, "X"), (5, "Y"), (6, "X"), (7, "")]
    assert cut(text) == list(logical_lines(text))


PIECES = st.sampled_from(
    ["-A X ", "-A Y ", "-A X", "[1:2] ", "[1:2", "\n", "\n", '"', ' "', '" ', "\\", " ", "\t", "\r", ":X", "#", "a"]
)


@given(st.lists(PIECES, max_size=24).map("".join))
@example('-A X "a\n-A X b\n-A X "c\n')
@example('-A X a"b\n-A X "\n"')
def test_stretches_hold_the_lines_of_the_text(text: str) -> None:
    assert cut(text) == list(logical_lines(text))
