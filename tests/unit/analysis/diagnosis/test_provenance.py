"""agent.analysis.diagnosis.provenance: whose rule is it."""

import pytest

from agent.analysis.diagnosis.provenance import HAND, owner_of
from agent.model.explanation import RuleRef


@pytest.mark.parametrize(
    ("table", "chain", "owner", "policy"),
    [
        ("filter", "cali-INPUT", "Calico", True),
        ("filter", "KUBE-POD-FW-ABC", "kube-router network policy", True),
        ("filter", "KUBE-FIREWALL", "kube-proxy or kubelet", False),
        ("filter", "CILIUM_INPUT", "Cilium", True),
        ("filter", "WEAVE-NPC-EGRESS", "Weave network policy", True),
        ("filter", "ufw-user-input", "ufw", False),
        ("filter", "IN_public", "firewalld", False),
        ("firewalld", "filter_INPUT", "firewalld", False),
        ("kube-proxy", "filter-input", "kube-proxy", False),
        ("filter", "f2b-sshd", "fail2ban", False),
        ("filter", "INPUT", HAND.name, False),
        ("filter", "MY-INPUT", HAND.name, False),
    ],
)
def test_names_tell_the_owner(table: str, chain: str, owner: str, policy: bool) -> None:
    found = owner_of(RuleRef(backend="nft", family="ip", hook="input", table=table, chain=chain, rule_number=1))
    assert (found.name, found.policy) == (owner, policy)
