"""Rulesets of real machines, read, walked, partitioned and searched for shadows. Elsewhere this is skipped."""

from collections.abc import Iterator
from ipaddress import IPv4Address, ip_address, ip_network
from pathlib import Path

import pytest

from agent.analysis.path.explain import explain
from agent.analysis.path.partition import explain_sources
from agent.analysis.path.walk import walk
from agent.analysis.readers.read import RefusedInput, read_texts
from agent.analysis.relevance.shadows import Shadows
from agent.model.explanation import Verdict
from agent.model.ruleset import Hook, Ruleset
from tests.unit.analysis.path.rulesets import packet

RULESETS = Path(__file__).parents[3] / "shared" / "rulesets"
HOOKS = (Hook.PREROUTING, Hook.INPUT)

pytestmark = pytest.mark.skipif(not RULESETS.is_dir(), reason="the collected rulesets are not beside this checkout")


def rulesets() -> Iterator[Ruleset]:
    """Those that are in a form that can be read."""
    for path in sorted(RULESETS.iterdir()):
        try:
            yield read_texts([(path.name, path.read_text(encoding="utf-8", errors="surrogateescape"))])
        except RefusedInput:
            continue


def test_every_ruleset_is_read_or_refused() -> None:
    refused = set()
    for path in sorted(RULESETS.iterdir()):
        if path.suffix not in (".md", ".tsv"):
            try:
                assert read_texts([(path.name, path.read_text(errors="surrogateescape"))]).tables, path.name
            except RefusedInput:
                refused.add(path.suffix)
    assert refused == {".nft", ".iptables-L"}


def test_every_ruleset_is_explained_without_a_crash() -> None:
    explained = 0
    for rules in rulesets():
        for source in ("10.244.4.138", "fd00::8a"):
            address = ip_address(source)
            node = ip_address("172.31.16.124" if address.version == 4 else "fd00::7c")
            for local in ((node,), ()):
                found = explain(rules, packet(source=address, destination=node, local=local))
                assert (found.verdict is Verdict.UNDECIDED) <= bool(found.assumptions or rules.unread)
        explained += 1
    assert explained > 20


def test_a_network_fares_as_its_addresses_do() -> None:
    partitioned = 0
    for rules in rulesets():
        if rules.unread:
            continue
        found = explain_sources(rules, packet(), ip_network("10.0.0.0/8"))
        first = int(ip_network(found.packet["src"])[0])
        for part in found.partition[:20]:
            last = first + part.addresses - 1
            for number in (first, last):
                alone = walk(rules, packet(source=IPv4Address(number)), HOOKS)
                assert part.verdict is Verdict.UNDECIDED or (part.verdict, part.decided_by) == (alone.verdict, alone.decided_by)
            first = last + 1
        partitioned += 1
    assert partitioned > 20


def test_no_rule_counted_packets_in_its_shadow() -> None:
    claims = 0
    for rules in rulesets():
        for each in rules.tables:
            looking = Shadows(each)
            for where in each.chains:
                found = looking.find(where)
                claims += len(found)
                assert not [one for one in where.rules if one.number in found and one.counter and one.counter.packets]
    assert claims > 100
