"""Every regular expression of the readers means the same in every Python 3.11: see the comment in tokens.py."""

import re
from pathlib import Path

import agent

POSSESSIVE_GROUP = re.compile(r"\)(?:[*+?]|\{\d+(?:,\d*)?\})\+|\(\?>")


def test_no_group_is_possessive() -> None:
    for path in sorted(Path(agent.__file__).parent.rglob("*.py")):
        patterns = [line for line in path.read_text().splitlines() if "re.compile" in line or "r'" in line or 'r"' in line]
        assert [line for line in patterns if POSSESSIVE_GROUP.search(line)] == [], path


def test_the_search_finds_one() -> None:
    assert POSSESSIVE_GROUP.search('(?:a|b)*+"')
    assert POSSESSIVE_GROUP.search("(?>a)")
    assert not POSSESSIVE_GROUP.search('[^"]++(?:a)*')
