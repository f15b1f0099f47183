import pytest

from agent.analysis.readers.tokens import logical_lines, unquoted, words


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
