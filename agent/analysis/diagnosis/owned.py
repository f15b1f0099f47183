"""The blocking rule has an owner: which of the owner's ways to stop a packet is it?"""

from collections.abc import Callable

from agent.analysis.diagnosis.block import Block, Story
from agent.analysis.diagnosis.catalog.firewall import (
    ENDPOINT_TO_HOST_DROP,
    FIREWALLD_REJECT,
    HOST_ENDPOINT_DENY,
    KUBE_FIREWALL_DROP,
    POD_BANNED,
    POLICY_ENGINE_BLOCK,
    TAILSCALE_DROP,
    UFW_BLOCK,
)
from agent.analysis.diagnosis.own_tools import HOST_ENDPOINT, WORKLOAD_TO_HOST
from agent.analysis.diagnosis.places import rule_at, rule_name
from agent.analysis.diagnosis.provenance import CALICO, FAIL2BAN, FIREWALLD, TAILSCALE, UFW, Owner, owner_of
from agent.model.explanation import RuleRef
from agent.model.packet import Field
from agent.model.ruleset import Compare, CopyMark, SetMark, Statement

# The kubelet's chain for marked packets (pkg/kubelet/kubelet_network_linux.go) and --iptables-drop-bit, which is 15 by default.
_KUBE_FIREWALL, _DROP_MARK = "KUBE-FIREWALL", 0x8000


def tell_owner(block: Block) -> Story | None:
    """The story of an owner's rule; None where it is a person's or the distribution's, or its owner has no story of its own."""
    marking = _find_marking(block) if block.rule.chain == _KUBE_FIREWALL else None
    if marking is not None:
        return KUBE_FIREWALL_DROP, (
            f"{rule_name(block.rule)} drops what bears Kubernetes' mark for dropping (0x8000). The pod's packet got its mark "
            f"from {rule_name(marking)} ({marking.text}), which uses the same bit."
        )
    owner = owner_of(block.rule, block.chain)
    if owner in _TOLD:
        return _TOLD[owner](block)
    if owner.policy:
        return POLICY_ENGINE_BLOCK, f"{rule_name(block.rule)} belongs to {owner.name}: this is somebody's policy."
    return None


def _ufw(block: Block) -> Story:
    default = " It is ufw's default for incoming packets." if block.rule.policy else ""
    return UFW_BLOCK, f"{rule_name(block.rule)} belongs to ufw.{default}"


def _tailscale(block: Block) -> Story:
    return TAILSCALE_DROP, (
        f"{rule_name(block.rule)} belongs to Tailscale: it drops what comes from 100.64.0.0/10 and not by tailscale0, "
        f"and {block.packet.source} is in that range."
    )


def _fail2ban(block: Block) -> Story:
    return POD_BANNED, f"{rule_name(block.rule)} belongs to fail2ban: it has banned {block.packet.source}."


def _calico(block: Block) -> Story:
    rule, name = block.rule, rule_name(block.rule)
    if rule.chain == WORKLOAD_TO_HOST:
        return (
            ENDPOINT_TO_HOST_DROP,
            f"{name} is Calico's DefaultEndpointToHostAction: it stops what pods send to their own node.",
        )
    if rule.chain.startswith(HOST_ENDPOINT):
        return HOST_ENDPOINT_DENY, (
            f"{name} belongs to a host endpoint of Calico: no policy for it allows the packet, and what none allows is denied."
        )
    unknown = " Felix has not programmed the pod's interface yet." if "Unknown interface" in rule.text else ""
    return POLICY_ENGINE_BLOCK, f"{name} belongs to {CALICO.name}: this is somebody's policy.{unknown}"


def _firewalld(block: Block) -> Story:
    rule = block.rule
    overruled = any(
        table.name == "filter" and (chain := table.chain("INPUT")) is not None and chain.rules
        for table in block.ruleset.tables
        if (table.backend, table.family, table.name) != (rule.backend, rule.family, rule.table)
    )
    words = f"{rule_name(rule)} belongs to firewalld."
    if overruled:
        words += " An accept in iptables' own chains does not overrule it: a packet must survive every base chain."
    return FIREWALLD_REJECT, words


def _find_marking(block: Block) -> RuleRef | None:
    """The last rule that set the bit that the blocking one asks for, on the packet or on the connection it was restored from.

    None where it asks for no mark: the kubelet's second rule in that chain drops what comes to 127.0.0.0/8 from elsewhere.
    """
    asks = any(isinstance(item, Compare) and item.field is Field.MARK and not item.negate for item in _says(block, block.rule))
    mark = Field.MARK
    for place in (step.rule for step in reversed(block.explanation.steps) if asks and step.result == "match"):
        for item in _says(block, place):
            if isinstance(item, CopyMark) and item.target is mark:
                mark = item.source
            if isinstance(item, SetMark) and item.field is mark and item.flip & _DROP_MARK:
                return place
    return None


def _says(block: Block, place: RuleRef) -> tuple[Statement, ...]:
    rule = rule_at(block.ruleset, place)
    return rule.statements if rule is not None else ()


_TOLD: dict[Owner, Callable[[Block], Story]] = {
    FIREWALLD: _firewalld,
    UFW: _ufw,
    TAILSCALE: _tailscale,
    FAIL2BAN: _fail2ban,
    CALICO: _calico,
}
