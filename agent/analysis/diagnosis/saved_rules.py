"""Firewall files on disk against the running rules: an accept for pods that is saved and does not run.

Read are files that a tool loads at boot: iptables-save text, ufw's rule fragments, firewalld's zones, nftables.conf. Only what
is surely meant for this packet counts, and only in the table of the rule that blocks: loading it must help.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import ip_address, ip_network

from agent.analysis.diagnosis.block import Block, accepts, names_port, unmet
from agent.analysis.diagnosis.provenance import FIREWALLD, HAND, UFW, owner_of
from agent.analysis.path.explain import explain
from agent.analysis.readers.parse_iptables import parse
from agent.model.capture import TextFile
from agent.model.explanation import Verdict
from agent.model.packet import Packet
from agent.model.ruleset import Backend, Match, Rule, Ruleset

_UFW = "ufw-user-input"
_SOURCE = re.compile(r'<source\s[^>]*address="([0-9a-fA-F.:/]+)"')
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
# One nft rule on a line of its own: whole statements only, so that a test that is not read here is never overlooked.
_NFT = re.compile(
    r"^\s*(?:meta l4proto tcp\s+)?(?P<family>ip6?) saddr (?P<source>[0-9a-fA-F.:/]+)\s+"
    r"(?:ip6? daddr (?P<destination>[0-9a-fA-F.:/]+)\s+)?tcp dport (?P<port>\d+)\s+"
    r"(?:ct state \{?\s*new\s*\}?\s+)?(?:counter\s+(?:packets \d+ bytes \d+\s+)?)?accept(?:\s+comment\s+\"[^\"]*\")?\s*;?\s*$",
    re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class Unloaded:
    """The file, its line that lets the packet in, and what loads it."""

    path: str
    line: str
    how: str


def find_unloaded(block: Block) -> Unloaded | None:
    """The first saved line that would let the packet in and that no running chain has."""
    for file in block.saved:
        read = next((read for suffix, read in _READERS.items() if suffix in file.path), None)
        found = read(file, block) if read is not None else None
        if found is not None:
            return found
    return None


def _iptables(file: TextFile, block: Block) -> Unloaded | None:
    version = 6 if "ip6tables" in file.path or file.path.endswith("v6") else 4
    if version != block.packet.version or owner_of(block.rule, block.chain) not in (HAND, UFW):
        return None
    saved = parse(file.text, Backend.LEGACY, "ip6" if version == 6 else "ip")
    answer = explain(saved, block.packet)
    rule = answer.decided_by
    if answer.verdict is not Verdict.ACCEPT or rule is None or rule.policy:
        return None
    if (rule.family, rule.table, rule.hook) != (block.rule.family, block.rule.table, block.rule.hook):
        return None
    chain = next((chain for table in saved.tables if table.name == rule.table and (chain := table.chain(rule.chain))), None)
    accept = next((each for each in chain.rules if each.number == rule.rule_number), None) if chain else None
    if accept is None or _runs(accept, block) or _is_open_somewhere(block):
        return None
    return Unloaded(file.path, rule.text, _loader(file.path, saved, block))


def _loader(path: str, saved: Ruleset, block: Block) -> str:
    """How the file gets loaded, and whether any rule of its INPUT chain runs: a restore takes all of a file or none of it."""
    unit = "netfilter-persistent" if "/iptables/" in path else "iptables"
    rules = [
        rule for table in saved.tables if table.name == "filter" and (chain := table.chain("INPUT")) for rule in chain.rules
    ]
    # That REJECT or the loopback's accept also run says nothing: every distribution has them.
    telling = [rule for rule in rules if sum(isinstance(item, Match) for item in rule.statements) > 1]
    if telling and not any(_runs(rule, block) for rule in telling):
        return (
            f"No rule that this file alone has runs: it was not loaded (systemctl status {unit}), its load failed "
            "(iptables-restore --test says why; a kernel without one of its matches refuses it all), or it was wiped since."
        )
    return f"Other rules of that file run: this one was added to the file later, or wiped since (systemctl status {unit})."


def _ufw(file: TextFile, block: Block) -> Unloaded | None:
    other_version = ("6" in file.path.rpartition("/")[2]) != (block.packet.version == 6)
    if other_version or owner_of(block.rule, block.chain) is not UFW:
        return None
    name = _UFW.replace("ufw", "ufw6") if block.packet.version == 6 else _UFW
    saved = parse(file.text, Backend.LEGACY, "ip6" if block.packet.version == 6 else "ip")
    for rule in (rule for table in saved.tables if (chain := table.chain(name)) for rule in chain.rules):
        if not unmet(rule, block.packet):
            if not accepts(rule) or _runs(rule, block) or _is_open_somewhere(block):
                return None
            return Unloaded(file.path, rule.text, "ufw reload loads it; ufw status tells whether ufw is active at all.")
    return None


def _firewalld(file: TextFile, block: Block) -> Unloaded | None:
    text = _COMMENT.sub("", file.text)
    if 'target="ACCEPT"' not in text or owner_of(block.rule, block.chain) is not FIREWALLD:
        return None
    for source in _SOURCE.findall(text):
        if _covers(source, block.packet) and not any(source in text for text in _dispatching(block)):
            line = f'<source address="{source}"/>'
            return Unloaded(file.path, line, "A zone that was changed with --permanent runs after: firewall-cmd --reload.")
    return None


def _nftables(file: TextFile, block: Block) -> Unloaded | None:
    if not re.search(rf"^\s*table {block.rule.family} {re.escape(block.rule.table)}\b", file.text, re.MULTILINE):
        return None
    for found in _NFT.finditer(file.text):
        destination = found["destination"]
        wanted = _covers(found["source"], block.packet) and int(found["port"]) == block.packet.dport
        if not wanted or (destination and not _contains(destination, str(block.packet.destination))):
            continue
        marks = (found["source"], found["port"])
        if not any(all(mark in rule.text for mark in marks) and accepts(rule) for rule in _running(block)):
            line = " ".join(found[0].split())
            return Unloaded(
                file.path, line, f"nft -c -f {file.path} tells whether it loads, systemctl status nftables whether it was."
            )
    return None


_READERS: dict[str, Callable[[TextFile, Block], Unloaded | None]] = {
    "/ufw/": _ufw,
    "/firewalld/": _firewalld,
    "nftables": _nftables,
    "tables": _iptables,
}


def _running(block: Block) -> Iterator[Rule]:
    for table in block.ruleset.tables:
        for chain in table.chains:
            yield from chain.rules


def _dispatching(block: Block) -> Iterator[str]:
    """The running rules by which firewalld sends incoming packets to their zones."""
    for table in block.ruleset.tables:
        for chain in table.chains:
            if "INPUT" in chain.name and (table.name == "firewalld" or "ZONES" in chain.name):
                yield from (rule.text for rule in chain.rules)


def _runs(rule: Rule, block: Block) -> bool:
    """Whether a rule with the same tests and the same verdict runs, in any chain of any backend."""
    wanted = frozenset(rule.statements)
    return any(frozenset(each.statements) == wanted for each in _running(block))


def _is_open_somewhere(block: Block) -> bool:
    """Whether some running rule accepts this very packet for its port's sake: then it is in the wrong place, not missing."""
    return any(accepts(rule) and names_port(rule) and not unmet(rule, block.packet) for rule in _running(block))


def _covers(network: str, packet: Packet) -> bool:
    return _contains(network, str(packet.source))


def _contains(network: str, address: str) -> bool:
    try:
        return ip_address(address) in ip_network(network, strict=False)
    except ValueError:
        return False
