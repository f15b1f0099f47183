"""Who wrote a rule, told by the names of its chain and table, and what that owner's own tool is.

Owners rewrite their chains wholesale, so a foreign rule put into them does not last, and a policy engine's verdict is
somebody's intent: the remedy for both is the owner's tool, not ours.
"""

from dataclasses import dataclass

from agent.model.explanation import RuleRef


@dataclass(frozen=True, slots=True)
class Owner:
    """`name` for people; `policy` if its rules express somebody's network policy; `tool` is what to change it with."""

    name: str
    policy: bool = False
    tool: str = ""


HAND = Owner("hand-made or distribution default", tool="iptables")
FIREWALLD = Owner("firewalld", tool="firewall-cmd")
UFW = Owner("ufw", tool="ufw")

_CALICO = Owner("Calico", policy=True, tool="calicoctl / NetworkPolicy")
_KUBE_ROUTER = Owner("kube-router network policy", policy=True, tool="NetworkPolicy")

# Chain name prefixes, as each project documents or creates them; the longest that fits counts.
_CHAINS = {
    "cali-": _CALICO,
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
    "ts-": Owner("Tailscale", tool="tailscale"),
    "f2b-": Owner("fail2ban", tool="fail2ban-client"),
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
    "calico": _CALICO,
}


def owner_of(rule: RuleRef) -> Owner:
    """The owner of the rule's table if the table has one, else of its chain, else a person or the distribution."""
    if rule.table in _TABLES:
        return _TABLES[rule.table]
    fitting = [prefix for prefix in _CHAINS if rule.chain.startswith(prefix)]
    return _CHAINS[max(fitting, key=len)] if fitting else HAND
