"""Who wrote a rule, told by the names of its chain and table, and what that owner's own tool is.

Owners rewrite their chains wholesale, so a foreign rule put into them does not last, and a policy engine's verdict is
somebody's intent: the remedy for both is the owner's tool, not ours.
"""

from dataclasses import dataclass

from agent.model.explanation import RuleRef
from agent.model.ruleset import Chain, Jump


@dataclass(frozen=True, slots=True)
class Owner:
    """`name` for people; `policy` if its rules express somebody's network policy; `tool` is what to change it with."""

    name: str
    policy: bool = False
    tool: str = ""


HAND = Owner("hand-made or distribution default", tool="iptables")
FIREWALLD = Owner("firewalld", tool="firewall-cmd")
UFW = Owner("ufw", tool="ufw")
CALICO = Owner("Calico", policy=True, tool="calicoctl / NetworkPolicy")
TAILSCALE = Owner("Tailscale", tool="tailscale")
FAIL2BAN = Owner("fail2ban", tool="fail2ban-client")

_KUBE_ROUTER = Owner("kube-router network policy", policy=True, tool="NetworkPolicy")

# Chain name prefixes, as each project documents or creates them; the longest that fits counts.
_CHAINS = {
    "cali-": CALICO,
    "KUBE-ROUTER-": _KUBE_ROUTER,
    "KUBE-POD-FW-": _KUBE_ROUTER,
    "KUBE-NWPLCY-": _KUBE_ROUTER,
    "KUBE-": Owner("kube-proxy or kubelet", tool="kube-proxy"),
    "CILIUM_": Owner("Cilium", policy=True, tool="CiliumNetworkPolicy"),
    "WEAVE-NPC": Owner("Weave network policy", policy=True, tool="NetworkPolicy"),
    "WEAVE": Owner("Weave", tool="weave"),
    "FLANNEL-": Owner("flannel", tool="flannel"),
    "CNI-": Owner("CNI plugins", tool="CNI configuration"),
    "DOCKER": Owner("Docker", tool="docker"),
    "ts-": TAILSCALE,
    "f2b-": FAIL2BAN,
    "fail2ban-": FAIL2BAN,
    "ufw": UFW,
    "INPUT_ZONES": FIREWALLD,
    "INPUT_direct": FIREWALLD,
    "IN_": FIREWALLD,
    "PRE_": FIREWALLD,
    "filter_INPUT": FIREWALLD,
    "filter_IN_": FIREWALLD,
}
_TABLES = {
    "firewalld": FIREWALLD,
    "kube-proxy": Owner("kube-proxy", tool="kube-proxy"),
    "docker-bridges": Owner("Docker", tool="docker"),
    "calico": CALICO,
}


# Chains that an owner hangs into a base chain whose end is then its own: ufw's default is the chain's policy, and firewalld's
# iptables backend ends INPUT itself with an INVALID drop and a REJECT behind its zones.
_HANGINGS = {"ufw-": UFW, "ufw6-": UFW, "INPUT_ZONES": FIREWALLD}


def owner_of(rule: RuleRef, chain: Chain | None = None) -> Owner:
    """The owner of the rule's table if the table has one, else of its chain, else a person or the distribution.

    With the `chain` that it stands in, the end of a base chain belongs to whoever hung its own chains into it before.
    """
    if rule.table in _TABLES:
        return _TABLES[rule.table]
    fitting = [prefix for prefix in _CHAINS if rule.chain.startswith(prefix)]
    if fitting:
        return _CHAINS[max(fitting, key=len)]
    return _owner_of_the_end(rule, chain) if chain is not None and chain.base is not None else HAND


def _owner_of_the_end(rule: RuleRef, chain: Chain) -> Owner:
    for number, target in (
        (each.number, item.chain) for each in chain.rules for item in each.statements if isinstance(item, Jump)
    ):
        owner = next((owner for prefix, owner in _HANGINGS.items() if target.startswith(prefix)), None)
        if owner is UFW and rule.policy:
            return UFW
        if owner is FIREWALLD and rule.rule_number is not None and rule.rule_number > number:
            return FIREWALLD
    return HAND
