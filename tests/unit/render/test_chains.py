"""agent.render.chains: chains as a person reads them."""

from agent.model.ruleset import Backend, Base, Chain, Counter, Hook, Rule, Ruleset, Table
from agent.render.chains import rules

INPUT = Chain(
    "INPUT",
    (
        Rule(1, "-A INPUT -i lo -j ACCEPT", (), counter=Counter(12, 0)),
        Rule(2, "-A INPUT -j \x1bMINE", (), counter=Counter(3, 0)),
    ),
    Base("filter", Hook.INPUT, 0, "drop", Counter(7, 0)),
)
RAW = Chain("PREROUTING", (), Base("filter", Hook.PREROUTING, -300))
RULESET = Ruleset(
    (
        Table(Backend.LEGACY, "ip", "filter", (Chain("MINE", (Rule(1, "drop", ()),)), INPUT)),
        Table(Backend.NFT, "inet", "host-fw", (RAW,)),
        Table(Backend.NFT, "ip6", "filter", (INPUT,)),
    ),
    problems=("a remark",),
    unread=("a table is missing",),
)


def test_base_chains_stand_in_the_order_of_their_hooks_with_numbers_and_packets() -> None:
    assert rules(RULESET, 4) == (
        "inet host-fw PREROUTING (nft): prerouting -300, policy accept\n"
        "\n"
        "ip filter INPUT (iptables-legacy): input 0, policy drop, 7 packets\n"
        "  1  12  -A INPUT -i lo -j ACCEPT\n"
        "  2   3  -A INPUT -j \\x1bMINE\n"
        "\n"
        "ip filter MINE (iptables-legacy)\n"
        "  1  -  drop\n"
        "\n"
        "not read: a table is missing\n"
        "not read: a remark\n"
    )


def test_each_ip_version_has_its_own_chains() -> None:
    assert "ip6 filter INPUT (iptables-nft)" in rules(RULESET, 6)
    assert "ip filter" not in rules(RULESET, 6)


def test_no_rule_at_all_is_said() -> None:
    assert rules(Ruleset(()), 4) == "no rule stands in the way of an IPv4 packet to this node\n"


def test_remarks_stand_behind_rules_and_titles_and_notes_at_the_end() -> None:
    place = ("legacy", "ip", "filter")
    text = rules(RULESET, 4, {(*place, "INPUT", 2): "no \x1bpacket", (*place, "MINE", None): "mine"}, ("a \x1bnote",))
    assert "  2   3  -A INPUT -j \\x1bMINE  <- no \\x1bpacket\n" in text
    assert "ip filter MINE (iptables-legacy); mine\n" in text
    assert "\n\na \\x1bnote\nnot read: a table is missing\n" in text
