"""Firewall text is what iptables-restore reads, the same for either backend."""

from agent.lab.rules import MASQUERADE, filter_table, on_either
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
