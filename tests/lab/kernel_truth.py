"""The model's answer beside the kernel's: one firewall, one SYN, and everything that can be compared.

The kernel's side runs in namespaces of its own (`kernel_node`); counters say which rules the packet met.
"""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from itertools import count, takewhile
from pathlib import Path
from typing import Any

import pytest

from agent.analysis.diagnosis.places import chain_at, rule_at, same_place
from agent.analysis.path.blame import moved, same_shape
from agent.analysis.path.explain import explain
from agent.analysis.path.hooks import link_chains
from agent.analysis.path.replies import icmp_of
from agent.analysis.path.walk import walk
from agent.analysis.readers.read import read_firewall
from agent.model.capture import LEGACY_SAVE, LEGACY_SAVE6, NFT_JSON, NFT_SAVE, NFT_SAVE6, Firewall, Reading
from agent.model.explanation import Explanation, RuleRef, Verdict
from agent.model.packet import IPAddress, Packet
from agent.model.ruleset import Hook, Ruleset
from tests.lab import kernel_node
from tests.lab.kernel_cases import Case

Load = list[tuple[list[str], str]]
_ADDRESSES = {"node": kernel_node.NODE, "node6": kernel_node.NODE6}
_LOCAL = tuple(
    ip_address(text)
    for text in (kernel_node.NODE, kernel_node.NODE6, kernel_node.BRIDGE, "fd00:10:244:4::1", "127.0.0.1", "::1")
)
READ = {
    LEGACY_SAVE: ["iptables-legacy-save", "-c"],
    LEGACY_SAVE6: ["ip6tables-legacy-save", "-c"],
    NFT_SAVE: ["iptables-nft-save", "-c"],
    NFT_SAVE6: ["ip6tables-nft-save", "-c"],
    NFT_JSON: ["nft", "-j", "list", "ruleset"],
}
# An answer takes microseconds, unless the machine is busy: where one is expected, its absence is looked at again.
SHORT, LONG = 0.03, 0.5
_UNSHARE = ("unshare", "--net", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child")
_SPORTS = count(20000)


@dataclass(frozen=True)
class Truth:
    """What the kernel did, and the two readings around it."""

    before: Ruleset
    after: Ruleset
    errno: str
    icmp: tuple[int, int] | None


class RefusedRuleset(Exception):  # noqa: N818  what happened, not a fault of ours
    """The tool would not load the text; the message is what it said."""


class Kernel:
    """The node in its namespaces, one request at a time."""

    def __init__(self, script: Sequence[str] = (kernel_node.__file__,), *, rootless: bool = os.geteuid() != 0) -> None:
        user = ["--user", "--map-root-user"] if rootless else []
        self.process = subprocess.Popen(
            [*_UNSHARE, *user, sys.executable, *script],
            cwd=Path(__file__).parents[2],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        if not self.process.stdout.readline():
            self.close()
            pytest.skip(f"namespaces cannot be made here: {self.error}")

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        self.send(request)
        return self.receive()

    def send(self, request: dict[str, Any]) -> None:
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()

    def receive(self) -> dict[str, Any]:
        line = self.process.stdout.readline()
        if not line:
            self.close()
            pytest.fail(f"the node ended: {self.error}")
        answer = json.loads(line)
        if answer["problem"]:
            raise RefusedRuleset(answer["problem"])
        return answer

    def close(self) -> None:
        _, self.error = self.process.communicate(timeout=10)


def restore_text(rules: str) -> str:
    """The case's lines as iptables-save text, policies before chains before rules."""
    tables: dict[str, tuple[list[str], list[str]]] = {}
    for line in filter(None, (line.strip() for line in rules.splitlines())):
        table, chain, *rest = line.split(" ", 2)
        heads, body = tables.setdefault(table, ([], []))
        if rest and rest[0].startswith(("-", "!")):
            body.append(f"-A {chain} {rest[0]}")
        else:
            heads.append(f":{chain} {rest[0] if rest else '-'} [0:0]")
    return "".join("\n".join([f"*{table}", *heads, *body, "COMMIT", ""]) for table, (heads, body) in tables.items())


def ask(kernel: Kernel, case: Case, load: Load, readings: list[str]) -> tuple[Truth, Packet]:
    request = {
        "load": load,
        "read": {name: READ[name] for name in readings},
        "from": case.source,
        "to": _ADDRESSES[case.to],
        "port": case.port,
    }
    answer: dict[str, Any] = {"errno": "ETIMEDOUT"}
    for patience in (SHORT, LONG):
        if answer["errno"] == "ETIMEDOUT" and (patience is SHORT or case.want not in ("DROP", "MAYBE")):
            sport = next(_SPORTS)
            answer = kernel.ask(request | {"sport": sport, "patience": patience})
    before, after = (read(answer[when], readings) for when in ("before", "after"))
    icmp = tuple(answer["icmp"]) if answer["icmp"] else None
    return Truth(before, after, answer["errno"], icmp), packet_of(case, sport)


def read(texts: dict[str, str], readings: list[str]) -> Ruleset:
    return read_firewall(
        Firewall(readings=tuple(Reading(name=name, argv=tuple(READ[name]), status=0, stdout=texts[name]) for name in readings))
    )


def packet_of(case: Case, sport: int) -> Packet:
    destination = ip_address(_ADDRESSES[case.to])
    source: IPAddress = destination
    if case.source == "pod":
        source = ip_address(kernel_node.POD if destination.version == 4 else kernel_node.POD6)
    return Packet(
        source=source,
        destination=destination,
        sport=sport,
        dport=case.port,
        iif="lo" if case.source == "node" else "cni0",
        mac=None if case.source == "node" else kernel_node.POD_MAC,
        physdev_in="",
        local=_LOCAL,
    )


def hold(case: Case, truth: Truth, packet: Packet) -> None:
    """The model's answer against the case's, and against everything the kernel shows."""
    assert not truth.before.problems
    assert not truth.before.unread
    assert same_shape(truth.before, truth.after)
    found = explain(truth.before, packet)
    assert f"{found.verdict} {found.reject_with or ''}".strip() == case.want.replace("MAYBE", "UNDECIDED"), found
    if found.verdict is Verdict.UNDECIDED:
        assert found.assumptions
        assert found.decided_by is None
        hold_outcomes(truth, packet)
        return
    if found.reply is not None and found.reply.verdict is Verdict.UNDECIDED:
        assert found.reply.assumptions
        assert truth.errno in ("", "ETIMEDOUT")
    else:
        assert truth.errno == (found.client_sees or "")
    assert truth.icmp == (icmp_of(found.reject_with) if found.reject_with else None)
    hold_counters(case, truth, found)


def hold_outcomes(truth: Truth, packet: Packet) -> None:
    """What the kernel did is among what the model holds possible; a packet that leaves the path may meet anything."""
    if link_chains(truth.before):
        return
    outcomes = walk(truth.before, packet, (Hook.PREROUTING, Hook.INPUT)).outcomes
    possible = {(each.verdict, icmp_of(each.reply) if each.reply else None) for each in outcomes}
    if Verdict.UNDECIDED not in {verdict for verdict, _ in possible}:
        # Somebody listens, so that a refusal without an ICMP error is a reset by a rule.
        met = {"": Verdict.ACCEPT, "ETIMEDOUT": Verdict.DROP}.get(truth.errno, Verdict.REJECT)
        assert (met, truth.icmp) in possible


def hold_counters(case: Case, truth: Truth, found: Explanation) -> None:
    """The deciding rule counted the packet; so did every other that the model says it met, and no rule that it does not.

    Behind a maybe, and among chains whose order is not known, a step only says what may have happened.
    """
    rose = [each.rule for each in moved(truth.before, truth.after)]

    def counted(place: RuleRef) -> bool:
        return any(same_place(each, place) for each in rose)

    decider = found.decided_by
    if decider is not None and has_counter(truth.before, decider):
        perhaps = [step.rule for step in found.steps if step.result == "maybe" or case.unordered]
        assert counted(decider) or any(counted(place) for place in perhaps)
    if found.reply is not None and found.reply.lost:
        assert counted(found.reply.decided_by) or not has_counter(truth.before, found.reply.decided_by)
    certain = [] if case.unordered else takewhile(lambda step: step.result != "maybe", found.steps)
    for step in certain:
        assert counted(step.rule) or not has_counter(truth.before, step.rule), step
    if found.verdict is not Verdict.ACCEPT and not case.unordered:
        told = [step.rule for step in found.steps]
        met = [rule for rule in rose if rule.chain not in ("OUTPUT", "POSTROUTING", "FORWARD")]
        assert [rule for rule in met if not any(same_place(rule, each) for each in told)] == []


def has_counter(ruleset: Ruleset, place: RuleRef) -> bool:
    chain = chain_at(ruleset, place)
    assert chain is not None
    if place.policy:
        return chain.base is not None and chain.base.counter is not None
    rule = rule_at(ruleset, place)
    assert rule is not None
    return rule.counter is not None
