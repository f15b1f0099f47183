"""What would mend it, as commands in the owner's own tool. Nothing here runs anything.

The narrowest opening there is: from this node's pod network, to this node's address, tcp, the kubelet's port, directly before
the rule that stops it. An accept at the end of the chain is never reached, and one at its top would outrank policy engines.
"""

import shlex
from dataclasses import dataclass

from agent.analysis.diagnosis.own_tools import with_own_tool
from agent.analysis.diagnosis.provenance import FIREWALLD, HAND, UFW, Owner, owner_of
from agent.model.explanation import RuleRef
from agent.model.report import Remedy

# Linux' iptables comments; `kubereach` alone marks a rule that a person put in by our advice, not one of our leases.
_COMMENT = "kubereach"


@dataclass(frozen=True, slots=True)
class Opening:
    """The flow to let in: CIDR, address, TCP port. For an `answer`, which goes the other way, the port is the source's."""

    source: str
    destination: str
    port: int
    answer: bool = False

    @property
    def end(self) -> str:
        """Whose port it is, as both tools call it."""
        return "sport" if self.answer else "dport"

    @property
    def version(self) -> int:
        """4 or 6."""
        return 6 if ":" in self.destination else 4


def open_before(rule: RuleRef, opening: Opening, owner: Owner | None = None) -> Remedy:
    """The remedy for a blocking rule or policy, by its owner and its backend; `owner` is given where the chain tells more."""
    owner = owner or owner_of(rule)
    if owner in (FIREWALLD, UFW) and not opening.answer:
        return _firewalld(opening) if owner is FIREWALLD else _ufw(opening)
    if owner is not HAND:
        pods, node = (opening.destination, opening.source) if opening.answer else (opening.source, opening.destination)
        return with_own_tool(owner, rule, pods=pods, node=node, port=opening.port)
    if rule.tool != "nft":
        return _iptables(rule, opening)
    return _native(rule, opening)


def look_at_kubelet() -> Remedy:
    """Nobody listens: the firewall has nothing to mend."""
    return Remedy(command="systemctl status kubelet; journalctl -u kubelet -n 50 --no-pager", owner="kubelet")


def _iptables(rule: RuleRef, opening: Opening) -> Remedy:
    program = rule.tool.replace("iptables", "ip6tables") if opening.version == 6 else rule.tool
    table = "" if rule.table == "filter" else f" -t {rule.table}"
    spec = f"-s {opening.source} -d {opening.destination} -p tcp --{opening.end} {opening.port}"
    spec = f"{spec} -m comment --comment {_COMMENT} -j ACCEPT"
    chain = shlex.quote(rule.chain)  # a chain's name is a stranger's choice, and this line gets pasted into a shell
    put = f"-A {chain}" if rule.policy else f"-I {chain} {rule.rule_number}"
    line = f"-A {chain} {spec}"
    files = ("ip6tables", "rules.v6") if opening.version == 6 else ("iptables", "rules.v4")
    stands = "as the last rule of its chain" if rule.policy else f"directly before: {rule.text}"
    number = (
        "" if rule.policy else " The number is the rule's place now: look again (kubereach rules) if the chain changed since."
    )
    return Remedy(
        command=f"{program} -w{table} {put} {spec}",
        undo=f"{program} -w{table} -D {chain} {spec}",
        persistent={
            f"iptables-services (/etc/sysconfig/{files[0]})": line,
            f"netfilter-persistent (/etc/iptables/{files[1]})": line,
        },
        owner=HAND.name,
        note=f"In the files the line stands {stands}.{number}",
    )


def _native(rule: RuleRef, opening: Opening) -> Remedy:
    family = "ip6" if opening.version == 6 else "ip"
    spec = (
        f"{family} saddr {opening.source} {family} daddr {opening.destination} tcp {opening.end} {opening.port} counter accept"
    )
    spec = f'{spec} comment "{_COMMENT}"'
    chain = " ".join(shlex.quote(name) for name in (rule.family, rule.table, rule.chain))
    put = f"nft add rule {chain}" if rule.handle is None else f"nft insert rule {chain} handle {rule.handle}"
    return Remedy(
        command=f"{put} {spec}",
        undo=f"nft -a list chain {chain}   # then: nft delete rule {chain} handle <its handle>",
        persistent={"nftables (/etc/nftables.conf)": f"chain {rule.chain}: {spec}    (before: {rule.text})"},
        owner=f"whoever made table {rule.family} {rule.table}",
    )


def _firewalld(opening: Opening) -> Remedy:
    add = f"firewall-cmd --zone=trusted --add-source={opening.source}"
    return Remedy(
        command=add,
        undo=f"firewall-cmd --zone=trusted --remove-source={opening.source}",
        persistent={"firewalld": f"firewall-cmd --permanent --zone=trusted --add-source={opening.source}"},
        owner=FIREWALLD.name,
        note="Rules put into firewalld's tables by hand are lost at its reload; an accept elsewhere does not overrule it.",
    )


def _ufw(opening: Opening) -> Remedy:
    rule = f"allow from {opening.source} to {opening.destination} port {opening.port} proto tcp"
    return Remedy(
        command=f"ufw insert 1 {rule}",
        undo=f"ufw delete {rule}",
        persistent={"ufw": "the same command: ufw keeps its rules"},
        owner=UFW.name,
    )
