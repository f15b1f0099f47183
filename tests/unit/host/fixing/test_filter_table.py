"""The filter table as text: ours are told from everybody else's, and digests ignore what does not matter."""

import pytest

from agent.host.fixing.filter_table import OURS, digest_of, parse, same_rule, spec

RULE = spec(
    "10.244.4.0/24", "172.31.16.124", 10250, "0123456789ab", stop="2026-01-31T12:00:00", set_name="kubereach-0123456789ab"
)
TEXT = """\
*nat
:PREROUTING ACCEPT [0:0]
-A PREROUTING -j DROP
COMMIT
*filter
:INPUT ACCEPT [0:0]
:MINE - [0:0]
:DEAD - [0:0]
[1:60] -A INPUT -i lo -j ACCEPT
[0:0] -A INPUT -j MINE
-A MINE -m comment --comment "a -j DEAD b" -j RETURN
-A DEAD -j DROP
COMMIT
"""


def test_only_the_filter_table_is_read_and_counters_are_left_out():
    table = parse(TEXT)
    assert table.chains["INPUT"] == ("-A INPUT -i lo -j ACCEPT", "-A INPUT -j MINE")
    assert "PREROUTING" not in table.chains


def test_a_chain_named_in_a_comment_is_not_reached():
    assert parse(TEXT).reached() == ("INPUT", "MINE")


def test_counters_and_chains_that_nobody_reaches_do_not_count():
    other = TEXT.replace("[1:60]", "[9:540]").replace("-A DEAD -j DROP", "-A DEAD -j ACCEPT")
    assert digest_of(parse(TEXT).lines()) == digest_of(parse(other).lines())
    assert digest_of(parse(TEXT).lines()) != digest_of(parse(TEXT.replace("-i lo", "-i eth0")).lines())


@pytest.mark.parametrize("quotes", ["", '"'])
def test_our_rule_is_known_as_both_tools_print_it(quotes):
    line = f"-A INPUT {RULE}".replace("kubereach:0123456789ab", f"{quotes}kubereach:0123456789ab{quotes}")
    found = OURS.fullmatch(line)
    assert found
    assert (found["id"], found["chain"], found["set"]) == ("0123456789ab", "INPUT", "kubereach-0123456789ab")
    assert same_rule(line, "INPUT", RULE)


@pytest.mark.parametrize(
    "line",
    [
        '-A INPUT -m comment --comment "kubereach:0123456789ab" -j ACCEPT',
        "-A INPUT -s 10.244.4.0/24 -d 172.31.16.124/32 -p tcp -m tcp --dport 10250 -m comment --comment kubereach -j ACCEPT",
        f"-A INPUT {RULE}".replace("-j ACCEPT", "-j DROP"),
        f"-A INPUT -i eth0 {RULE}",
        f"-A INPUT {RULE} -A INPUT -j ACCEPT",
        f"-A INPUT {RULE}".replace("0123456789ab", "0123456789abcd"),
    ],
)
def test_what_a_person_wrote_is_not_ours(line):
    assert not OURS.fullmatch(line)


def test_the_second_of_two_rules_that_read_alike_is_found():
    table = parse("*filter\n:INPUT ACCEPT\n-A INPUT -j DROP\n-A INPUT -i lo -j ACCEPT\n-A INPUT -j DROP\nCOMMIT\n")
    assert [table.position("INPUT", "-A INPUT -j DROP", nth) for nth in (1, 2, 3)] == [1, 3, None]
    assert table.position("INPUT", "", 1) == 4
    assert table.position("OTHER", "", 1) is None
