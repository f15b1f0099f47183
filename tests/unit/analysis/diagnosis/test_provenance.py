"""agent.analysis.diagnosis.provenance: whose rule is it."""

import pytest

from agent.analysis.diagnosis.provenance import FIREWALLD, HAND, UFW, Owner, owner_of
from agent.analysis.readers.parse_iptables import parse
from agent.model.explanation import RuleRef
from agent.model.ruleset import Backend


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


UFW_ENDS = ":ufw-before-input - [0:0]\n-A INPUT -j ufw-before-input\n-A INPUT -j REJECT\n"
ZONES_END = ":INPUT_ZONES - [0:0]\n-A INPUT -i lo -j ACCEPT\n-A INPUT -j INPUT_ZONES\n-A INPUT -j REJECT\n"


@pytest.mark.parametrize(
    ("rules", "number", "owner"),
    [
        pytest.param(UFW_ENDS, None, UFW, id="ufw's default is the policy"),
        pytest.param(UFW_ENDS, 2, HAND, id="a rule that a person put behind ufw's jumps"),
        pytest.param(ZONES_END, 3, FIREWALLD, id="firewalld's own end behind its zones"),
        pytest.param(ZONES_END, 1, HAND, id="a rule before them"),
        pytest.param("-A INPUT -j REJECT\n", 1, HAND, id="nobody hung anything in"),
    ],
)
def test_the_end_of_a_base_chain_belongs_to_whoever_hung_chains_into_it(rules: str, number: int | None, owner: Owner) -> None:
    table = parse(f"*filter\n:INPUT DROP [0:0]\n{rules}COMMIT\n", Backend.LEGACY, "ip").tables[0]
    place = RuleRef(
        backend="legacy", family="ip", hook="input", table="filter", chain="INPUT", rule_number=number, policy=number is None
    )
    assert owner_of(place, table.chain("INPUT")) is owner
    assert owner_of(place) is HAND
