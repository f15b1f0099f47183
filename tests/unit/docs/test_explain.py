"""docs/explain.md: its tables say what the readers do, and every match and target that the readers know is in them."""

import re
from collections.abc import Iterable
from pathlib import Path

import pytest

from agent.analysis.readers import iptables_matches, iptables_targets, kernel_state
from agent.analysis.readers.parse_iptables import parse
from agent.model.ruleset import AnyOf, Backend, Forget, Statement, Translate, Unclear, Unsure

PAGE = Path(__file__).parents[3] / "docs" / "explain.md"
ROW = re.compile(r"^\| `([^`]+)` \| `([^`]+)` \| (exact|maybe|opaque) \|", re.MULTILINE)
# Found without `-m`, or under the protocol that `-p` names.
PLAIN = {"-s", "-d", "-p", "-i", "-o", "-f"}


def section(title: str) -> list[tuple[str, str, str]]:
    text = PAGE.read_text()
    body = text[text.index(f"\n## {title}\n") :]
    return ROW.findall(body[: body.find("\n## ", 4)])


MATCHES, TARGETS = section("Matches"), section("Targets")


def read(words: str) -> tuple[Statement, ...]:
    family = "ip6" if "ipv6" in words or "-m hl" in words or "icmp6" in words or "-j HL" in words else "ip"
    text = f"*mangle\n:PREROUTING ACCEPT [0:0]\n:CHAIN - [0:0]\n-A PREROUTING {words}\nCOMMIT\n"
    table = parse(text, Backend.LEGACY, family).tables[0]
    chain = table.chain("PREROUTING")
    assert chain is not None
    return chain.rules[0].statements


def answer(statements: Iterable[Statement]) -> str:
    """The weakest of the statements' answers."""
    reasons = [why for item in statements for why in doubts(item)]
    if not reasons:
        return "exact"
    return "opaque" if any("not understood" in why or "without its condition" in why for why in reasons) else "maybe"


def doubts(statement: Statement) -> list[str]:
    if isinstance(statement, AnyOf):
        return [why for each in statement.tests for why in doubts(each)]
    if isinstance(statement, Translate) and not statement.exact and statement.kind != "masquerade":
        return ["which address it becomes is not followed here"]
    return [statement.why] if isinstance(statement, Unsure | Unclear | Forget) else []


@pytest.mark.parametrize(("name", "words", "claim"), MATCHES, ids=str)
def test_a_match_is_read_as_the_page_says(name: str, words: str, claim: str) -> None:
    assert name in words
    assert answer(read(f"{words} -j ACCEPT")) == claim


@pytest.mark.parametrize(("name", "words", "claim"), TARGETS, ids=str)
def test_a_target_is_read_as_the_page_says(name: str, words: str, claim: str) -> None:
    assert name in words
    assert answer(read(words)) == claim


def test_every_match_that_the_readers_know_is_on_the_page() -> None:
    known = {*iptables_matches._READERS, *kernel_state._STATE} - {""}
    assert known <= {name for name, _, _ in MATCHES}
    assert {name for name, _, _ in MATCHES} >= PLAIN


def test_every_target_that_the_readers_know_is_on_the_page() -> None:
    known = {
        *iptables_targets._READERS,
        *iptables_targets._VERDICTS,
        *iptables_targets._WHY,
        *iptables_targets.PASSING,
        *iptables_targets.REWRITING,
    }
    assert known <= {name for name, _, _ in TARGETS}
