"""agent.render.clean: strangers' bytes reach no terminal raw."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.render.clean import clean


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        pytest.param("-A INPUT -j REJECT", "-A INPUT -j REJECT", id="plain text is untouched"),
        pytest.param("x\n-A INPUT -j ACCEPT", r"x\x0a-A INPUT -j ACCEPT", id="newline"),
        pytest.param("\x1b[2J", r"\x1b[2J", id="escape sequence"),
        pytest.param("\x9b31m", r"\x9b31m", id="C1 control"),
        pytest.param("a\u202eb", r"a\u202eb", id="bidirectional override"),
        pytest.param("\udcff", r"\xff", id="undecodable byte"),
        pytest.param("\U000e0001", r"\U000e0001", id="invisible tag"),
        pytest.param("Prüfung ✓", "Prüfung ✓", id="letters of any language stay"),
    ],
)
def test_harmful_characters_are_escaped(text: str, shown: str) -> None:
    assert clean(text) == shown


@given(st.text())
def test_what_comes_out_is_one_printable_line(text: str) -> None:
    assert not any(unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp") for character in clean(text))
