"""Given the rule that blocks: which story does it belong to? The same REJECT has different causes and different remedies.

Looks at the rule's neighbours: an accept that comes too late, one that is too narrow, another backend that looks clean, an
owner whose tool must be used. Each lookalike is one function; the first that recognises its story tells it.
"""

from dataclasses import dataclass

from agent.analysis.diagnosis.catalog import Cause
from agent.analysis.diagnosis.catalog.firewall import (
    ACCEPT_AFTER_BLOCK,
    ACCEPT_TOO_NARROW,
    FIREWALLD_REJECT,
    INPUT_DROP,
    INPUT_POLICY_DROP,
    INPUT_REJECT,
    MIXED_BACKENDS,
    POLICY_ENGINE_BLOCK,
    UFW_BLOCK,
)
from agent.analysis.diagnosis.places import chain_at, rule_name
from agent.analysis.diagnosis.provenance import FIREWALLD, UFW, owner_of
from agent.analysis.path.explain import explain
from agent.analysis.path.match import evaluate
from agent.model.explanation import Explanation, RuleRef, Verdict
from agent.model.packet import Field, Packet
from agent.model.ruleset import Accept, Backend, Chain, Compare, Hook, Intervals, Match, Rule, Ruleset
from agent.model.tri import Tri

Story = tuple[Cause, str]


@dataclass(frozen=True, slots=True)
class _Block:
    """A packet, the rule that ends it, and the rules around."""

    ruleset: Ruleset
    packet: Packet
    verdict: Verdict
    rule: RuleRef

    @property
    def chain(self) -> Chain | None:
        return chain_at(self.ruleset, self.rule)


def name_cause(ruleset: Ruleset, packet: Packet, explanation: Explanation) -> Story:
    """The cause behind a decided DROP or REJECT, and the sentence that tells it apart from its lookalikes."""
    if explanation.decided_by is None:
        raise ValueError("a block without a rule has no cause to name")
    block = _Block(ruleset, packet, explanation.verdict, explanation.decided_by)
    stories = (tell(block) for tell in (_owned, _hidden_backend, _late_accept, _narrow_accept))
    return next((story for story in stories if story), None) or _plain(block)


def _plain(block: _Block) -> Story:
    rule = block.rule
    if rule.policy:
        return INPUT_POLICY_DROP, f"No rule of {rule.table} {rule.chain} accepts the packet, so the chain's policy ends it."
    cause = INPUT_REJECT if block.verdict is Verdict.REJECT else INPUT_DROP
    return cause, f"No rule before number {rule.rule_number} of {rule.table} {rule.chain} accepts the packet."


def _owned(block: _Block) -> Story | None:
    owner, name = owner_of(block.rule), rule_name(block.rule)
    if owner is FIREWALLD:
        return FIREWALLD_REJECT, _firewalld(block.ruleset, block.rule)
    if owner is UFW:
        return UFW_BLOCK, f"{name} belongs to ufw."
    return (POLICY_ENGINE_BLOCK, f"{name} belongs to {owner.name}: this is somebody's policy.") if owner.policy else None


def _firewalld(ruleset: Ruleset, rule: RuleRef) -> str:
    overruled = any(
        table.name == "filter" and (chain := table.chain("INPUT")) is not None and chain.rules
        for table in ruleset.tables
        if (table.backend, table.family, table.name) != (rule.backend, rule.family, rule.table)
    )
    words = f"{rule_name(rule)} belongs to firewalld."
    return (
        f"{words} An accept in iptables' own chains does not overrule it: a packet must survive every base chain."
        if overruled
        else words
    )


def _hidden_backend(block: _Block) -> Story | None:
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


def _late_accept(block: _Block) -> Story | None:
    """A rule behind the blocking one would have accepted exactly this packet."""
    rule, number = block.rule, block.rule.rule_number
    if block.chain is None or number is None:
        return None
    for candidate in block.chain.rules:
        if candidate.number > number and _accepts(candidate) and not _unmet(candidate, block.packet):
            return ACCEPT_AFTER_BLOCK, (
                f"Rule {candidate.number} of {rule.chain} would accept it ({candidate.text}), but the packet never gets there: "
                f"rule {number} ends it first."
            )
    return None


def _narrow_accept(block: _Block) -> Story | None:
    """A rule before the blocking one accepts the kubelet's port by name, for somebody else only."""
    rule, number = block.rule, block.rule.rule_number
    for candidate in block.chain.rules if block.chain else ():
        if number is not None and candidate.number >= number:
            break
        unmet = _unmet(candidate, block.packet)
        only_whence = unmet and all(isinstance(match, Compare) and match.field in (Field.SADDR, Field.IIF) for match in unmet)
        if only_whence and _accepts(candidate) and _names_port(candidate):
            return ACCEPT_TOO_NARROW, (
                f"Rule {candidate.number} of {rule.chain} opens port {block.packet.dport} ({candidate.text}), "
                f"but not for {block.packet.source}."
            )
    return None


def _accepts(rule: Rule) -> bool:
    return any(isinstance(statement, Accept) for statement in rule.statements)


def _unmet(rule: Rule, packet: Packet) -> list[Match]:
    matches = [statement for statement in rule.statements if isinstance(statement, Match)]
    return [match for match in matches if evaluate(match, packet) is not Tri.YES]


def _names_port(rule: Rule) -> bool:
    """Whether the rule speaks of a few ports, not of all of them."""
    return any(
        isinstance(statement, Compare)
        and statement.field is Field.DPORT
        and not statement.negate
        and isinstance(statement.test, Intervals)
        and sum(high - low + 1 for low, high in statement.test.ranges) < 1024
        for statement in rule.statements
    )
