"""docs/security.md names a test for each attack: all of them, and tests that exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "docs" / "security.md").read_text()
ROWS = re.findall(r"^\| ([HKN]\d+) \| [^|]+ \| `([\w/]+\.py)` `(\w+)` \|$", TEXT, re.MULTILINE)


def test_no_attack_is_left_out() -> None:
    assert [row[0] for row in ROWS] == [
        *(f"H{number}" for number in range(1, 21)),
        *(f"K{number}" for number in range(1, 6)),
        *(f"N{number}" for number in range(5, 9)),
    ]


@pytest.mark.parametrize(("path", "name"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_what_is_named_exists(path: str, name: str) -> None:
    assert f"def {name}(" in (ROOT / path).read_text()
