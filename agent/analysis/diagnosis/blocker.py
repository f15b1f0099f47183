"""Given the rule that blocks: which story does it belong to? The same REJECT has different causes and different remedies.

Looks at the rule's neighbours: an accept that comes too late, one that is too narrow, another backend that looks clean, an
owner whose tool must be used. Each lookalike is one function; the first that recognises its story tells it.
"""

from collections.abc import Sequence
from ipaddress import ip_network

from agent.analysis.diagnosis.block import Block, Story, accepts, names_port, rules_before, unmet
from agent.analysis.diagnosis.catalog.firewall import (
    ACCEPT_AFTER_BLOCK,
    ACCEPT_OVERRULED,
    ACCEPT_TOO_NARROW,
    INPUT_DROP,
    INPUT_POLICY_DROP,
    INPUT_REJECT,
    MIXED_BACKENDS,
    NOTRACK_DEFEATS_ACCEPT,
    SAVED_RULE_NOT_LOADED,
)
from agent.analysis.diagnosis.owned import tell_owner
from agent.analysis.diagnosis.places import rule_name
from agent.analysis.diagnosis.provenance import owner_of
from agent.analysis.diagnosis.saved_rules import find_unloaded
from agent.analysis.path.explain import explain
from agent.model.explanation import Verdict
from agent.model.packet import Field, Packet
from agent.model.ruleset import Backend, Compare, Hook, Intervals, Rule, Ruleset


def name_cause(block: Block, pod_cidrs: Sequence[str] = ()) -> Story:
    """The cause behind a decided DROP or REJECT, and the sentence that tells it apart from its lookalikes."""
    stories = (_unloaded, tell_owner, _hidden_backend, _overruled, _untracked, _late_accept)
    story = next((story for tell in stories if (story := tell(block))), None)
    return story or _narrow_accept(block, pod_cidrs) or _plain(block)


def _plain(block: Block) -> Story:
    rule = block.rule
    if rule.policy:
        return INPUT_POLICY_DROP, f"No rule of {rule.table} {rule.chain} accepts the packet, so the chain's policy ends it."
    cause = INPUT_REJECT if block.explanation.verdict is Verdict.REJECT else INPUT_DROP
    return cause, f"No rule before number {rule.rule_number} of {rule.table} {rule.chain} accepts the packet."


def _unloaded(block: Block) -> Story | None:
    """A saved file would let the packet in, and what it says is not running. A policy engine's verdict stands all the same."""
    found = None if owner_of(block.rule, block.chain).policy else find_unloaded(block)
    if found is None:
        return None
    return SAVED_RULE_NOT_LOADED, (
        f"{found.path} lets the packet in ({found.line}), and the running firewall does not have that: {rule_name(block.rule)} "
        f"stops it. {found.how}"
    )


def _hidden_backend(block: Block) -> Story | None:
    """Both backends hold an INPUT chain, and a person who asks the other one sees nothing wrong.

    A legacy table without any rule does not count against nft: merely listing it creates it.
    """
    rule = block.rule
    other = tuple(table for table in block.ruleset.tables if table.backend != rule.backend)
    chains = [
        chain
        for table in other
        if table.name == "filter" and table.family == rule.family
        for chain in table.chains
        if chain.base and chain.base.hook is Hook.INPUT and (chain.rules or table.backend is Backend.NFT)
    ]
    if not chains or explain(Ruleset(other), block.packet).verdict is not Verdict.ACCEPT:
        return None
    looked_at = f"iptables-{other[0].backend}, which also has an INPUT chain, lets it pass"
    return MIXED_BACKENDS, f"Both backends are live. {rule_name(rule)} stops it; {looked_at}. A packet must survive both."


def _overruled(block: Block) -> Story | None:
    """Another base chain of the same backend accepts the kubelet's port for this very packet."""
    rule = block.rule
    for table in block.ruleset.tables:
        if table.backend != rule.backend or (table.family, table.name) == (rule.family, rule.table):
            continue
        for chain in table.chains:
            accept = next((each for each in chain.rules if _opens(each, block.packet)), None)
            if chain.base is not None and chain.base.hook is Hook.INPUT and accept is not None:
                return ACCEPT_OVERRULED, (
                    f"Rule {accept.number} of {table.family} {table.name} {chain.name} accepts it ({accept.text}), and "
                    f"{rule_name(rule)} stops it all the same: an accept ends its own chain only."
                )
    return None


def _untracked(block: Block) -> Story | None:
    """An accept for this packet asks for the state NEW, and a rule in front of conntrack took the packet out of its hands."""
    steps = block.explanation.steps
    untracked = next((step for step in steps if step.result == "match" and "notrack" in step.effect), None)
    if untracked is None:
        return None
    for chain, candidate in rules_before(block):
        asks_state = any(isinstance(item, Compare) and item.field is Field.CT_STATE for item in candidate.statements)
        if asks_state and accepts(candidate) and not unmet(candidate, block.packet):
            return NOTRACK_DEFEATS_ACCEPT, (
                f"Rule {candidate.number} of {chain.name} accepts new connections ({candidate.text}), but "
                f"{rule_name(untracked.rule)} ({untracked.rule.text}) keeps this one from conntrack: its state is UNTRACKED, "
                f"and {rule_name(block.rule)} stops it."
            )
    return None


def _late_accept(block: Block) -> Story | None:
    """A rule behind the blocking one would have accepted exactly this packet."""
    rule, number = block.rule, block.rule.rule_number
    if number is None:  # nothing stands behind a policy
        return None
    for candidate in block.chain.rules:
        if candidate.number > number and accepts(candidate) and not unmet(candidate, block.packet):
            return ACCEPT_AFTER_BLOCK, (
                f"Rule {candidate.number} of {rule.chain} would accept it ({candidate.text}), but the packet never gets there: "
                f"rule {number} ends it first."
            )
    return None


def _narrow_accept(block: Block, pod_cidrs: Sequence[str]) -> Story | None:
    """A rule before the blocking one accepts the kubelet's port by name, for somebody else only."""
    for chain, candidate in rules_before(block):
        missed = unmet(candidate, block.packet)
        only_whence = missed and all(isinstance(match, Compare) and match.field in (Field.SADDR, Field.IIF) for match in missed)
        if only_whence and accepts(candidate) and names_port(candidate):
            other = _opened_network(candidate, pod_cidrs)
            whom = f" That is {other}, another pod network of this node." if other else ""
            return ACCEPT_TOO_NARROW, (
                f"Rule {candidate.number} of {chain.name} opens port {block.packet.dport} ({candidate.text}), "
                f"but not for {block.packet.source}.{whom}"
            )
    return None


def _opened_network(rule: Rule, pod_cidrs: Sequence[str]) -> str:
    """The pod network that the rule opens exactly, if it is one."""
    for text in pod_cidrs:
        network = ip_network(text, strict=False)
        whole = Intervals(((int(network[0]), int(network[-1])),))
        if any(isinstance(item, Compare) and item.field is Field.SADDR and item.test == whole for item in rule.statements):
            return text
    return ""


def _opens(rule: Rule, packet: Packet) -> bool:
    """Whether it accepts the packet for its port's sake."""
    return accepts(rule) and names_port(rule) and not unmet(rule, packet)
