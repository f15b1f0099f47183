"""Firewall text is what iptables-restore reads, the same for either backend."""

from agent.lab.rules import MASQUERADE, filter_table, on_either, on_either_version
from agent.model.ruleset import Backend


def test_a_filter_table_lists_its_rules_in_order_between_chains_and_commit():
    assert filter_table("-i lo -j ACCEPT", "-j DROP", policy="DROP").splitlines() == [
        "*filter",
        ":INPUT DROP [0:0]",
        ":FORWARD ACCEPT [0:0]",
        ":OUTPUT ACCEPT [0:0]",
        "-A INPUT -i lo -j ACCEPT",
        "-A INPUT -j DROP",
        "COMMIT",
    ]


def test_either_backend_gets_the_same_text_and_only_its_own():
    rules = on_either(("-j DROP",))
    text = filter_table("-j DROP") + MASQUERADE
    assert (rules[Backend.LEGACY].legacy, rules[Backend.LEGACY].nft) == (text, "")
    assert (rules[Backend.NFT].legacy, rules[Backend.NFT].nft) == ("", text)


def test_further_chains_are_declared_before_any_rule():
    lines = filter_table("-j MINE", chains={"MINE": ("-j DROP",), "EMPTY": ()}).splitlines()
    assert lines[4:] == [":MINE - [0:0]", ":EMPTY - [0:0]", "-A INPUT -j MINE", "-A MINE -j DROP", "COMMIT"]


def test_each_ip_version_has_its_own_text():
    rules = on_either_version(("-i lo -j ACCEPT",), ("-j DROP",))[Backend.NFT]
    assert rules.nft6 == filter_table("-j DROP")
    assert "-i lo -j ACCEPT" in rules.nft
    assert (rules.legacy, rules.legacy6) == ("", "")


def test_pods_in_another_network_are_masqueraded_there():
    rules = on_either((), pods="100.64.4.0/24")[Backend.LEGACY]
    assert "-s 100.64.4.0/24 ! -d 10.244.0.0/16 -j MASQUERADE" in rules.legacy
