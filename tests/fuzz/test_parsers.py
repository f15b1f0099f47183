"""The readers on broken texts: a short run, and every text that ever failed. `python -m tests.fuzz.parsers` runs longer."""

from pathlib import Path
from random import getrandbits

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.parsers import CORPUS, check, run
from tests.fuzz.seeds import EXPRESSIONS, OBJECTS, SAVE_LINES, listing

_FAMILIES = st.sampled_from(["ip", "ip6"])
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8) | st.sampled_from(EXPRESSIONS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def test_broken_texts_are_read_or_refused() -> None:
    """The seed is drawn from pytest's own, which it prints; what fails is kept for the next run to replay."""
    assert run(2000, seed=getrandbits(32)) == []


@pytest.mark.parametrize("path", sorted(CORPUS.glob("*.txt")), ids=lambda path: path.stem)
def test_what_failed_once_is_read(path: Path) -> None:
    text = path.read_bytes().decode(errors="surrogateescape")
    for family in ("ip", "ip6"):
        check(text, "*filter\n:INPUT DROP [0:0]\nCOMMIT\n", family)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200), st.binary(max_size=200), _FAMILIES)
def test_arbitrary_bytes_are_read_or_refused(text: bytes, save: bytes, family: str) -> None:
    check(text.decode(errors="surrogateescape"), save.decode(errors="surrogateescape"), family)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from(SAVE_LINES) | st.text(max_size=20), max_size=6).map("\n".join), _FAMILIES)
def test_lines_in_any_order_are_read_or_refused(text: str, family: str) -> None:
    check(text, text, family)


@settings(max_examples=100, deadline=None)
@given(st.lists(_JSON, max_size=3), st.lists(st.sampled_from(OBJECTS) | _JSON, max_size=4))
def test_any_listing_is_read(rule: list[object], objects: list[object]) -> None:
    check(listing(objects, [rule]), "*filter\n:INPUT DROP [0:0]\n-A INPUT -j DROP\nCOMMIT\n", "ip")
