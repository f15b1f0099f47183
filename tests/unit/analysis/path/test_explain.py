import json
from ipaddress import ip_address
from typing import Any

import pytest

from agent.analysis.path.explain import explain
from agent.analysis.readers import parse_nft
from agent.analysis.readers.read import read_texts
from agent.model.codec import to_plain
from agent.model.explanation import Verdict
from agent.model.packet import CtState
from agent.model.ruleset import Accept, Backend, Drop, Hook, Reject
from tests.unit.analysis.path.rulesets import MAYBE, filtering, hung, packet, ruleset, table

STOCK = """*filter
:INPUT ACCEPT [0:0]
-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A INPUT -p icmp -j ACCEPT
-A INPUT -i lo -j ACCEPT
-A INPUT -p tcp -m conntrack --ctstate NEW -m tcp --dport 22 -j ACCEPT
-A INPUT -s 172.31.16.0/20 -j ACCEPT
-A INPUT -j REJECT --reject-with icmp-host-prohibited
COMMIT
"""


def test_the_incident_is_explained_as_its_json_promises() -> None:
    found = to_plain(explain(read_texts([("iptables-save", STOCK)]), packet()))
    assert found["verdict"] == "REJECT"
    assert (found["reject_with"], found["client_sees"]) == ("icmp-host-prohibited", "EHOSTUNREACH")
    assert found["decided_by"] == {
        "backend": "legacy",
        "family": "ip",
        "hook": "input",
        "table": "filter",
        "chain": "INPUT",
        "rule_number": 6,
        "handle": None,
        "policy": False,
        "text": "-A INPUT -j REJECT --reject-with icmp-host-prohibited",
    }
    assert found["packet"] == {
        "in": "cni0",
        "src": "10.244.4.138",
        "dst": "172.31.16.124",
        "proto": "tcp",
        "sport": 40000,
        "dport": 10250,
        "ctstate": "NEW",
        "mark": 0,
    }
    assert found["assumptions"] == []
    assert [step["effect"] for step in found["steps"]] == ["reject with icmp-host-prohibited"]
    json.dumps(found)


@pytest.mark.parametrize(
    ("rules", "changes", "want"),
    [
        ((Drop(),), {}, (Verdict.DROP, None, "ETIMEDOUT")),
        ((Drop(),), {"protocol": 17}, (Verdict.DROP, None, None)),
        ((Accept(),), {}, (Verdict.ACCEPT, None, None)),
        ((Reject("tcp-reset"),), {}, (Verdict.REJECT, "tcp-reset", "ECONNREFUSED")),
        ((Reject("icmp-from-the-future"),), {}, (Verdict.REJECT, "icmp-from-the-future", None)),
        (((MAYBE, Drop()), Accept()), {}, (Verdict.UNDECIDED, None, None)),
    ],
)
def test_what_the_client_sees(rules: Any, changes: dict[str, Any], want: tuple[Any, ...]) -> None:
    found = explain(filtering(*rules), packet(**changes))
    assert (found.verdict, found.reject_with, found.client_sees) == want


def test_an_unread_backend_takes_an_accept_back_and_leaves_a_block() -> None:
    unread = {"problems": ("nft did not answer.",), "unread": ("nft did not answer.",)}
    accepted = explain(ruleset(table(hung("INPUT", Accept())), **unread), packet())
    assert (accepted.verdict, accepted.decided_by, accepted.client_sees) == (Verdict.UNDECIDED, None, None)
    assert accepted.problems == ("nft did not answer.",)
    dropped = explain(ruleset(table(hung("INPUT", Drop())), **unread), packet())
    assert (dropped.verdict, dropped.client_sees) == (Verdict.DROP, "ETIMEDOUT")


def test_a_chain_below_ip_that_may_stop_the_frame_takes_an_accept_back() -> None:
    below = table(hung("in", Drop(), hook=Hook.INGRESS), family="netdev", name="guard", backend=Backend.NFT)
    found = explain(ruleset(below, table(hung("INPUT", Accept()))), packet())
    assert found.verdict is Verdict.UNDECIDED
    assert [(each.rule.table, each.rule.chain) for each in found.assumptions] == [("guard", "in")]
    assert explain(ruleset(below, table(hung("INPUT", Drop()))), packet()).verdict is Verdict.DROP


def test_the_destination_is_taken_as_local_whatever_is_known_of_the_node() -> None:
    text = "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -m addrtype --dst-type LOCAL -j DROP\nCOMMIT\n"
    rules = read_texts([("iptables-save", text)])
    for local in ((), (ip_address("10.0.0.1"),)):
        assert explain(rules, packet(local=local)).verdict is Verdict.DROP


def test_odd_packets_are_described_too() -> None:
    found = explain(ruleset(), packet(protocol=253, ctstate=CtState(0), sport=None, iif=None))
    assert (found.packet["proto"], found.packet["ctstate"], found.packet["sport"], found.packet["in"]) == (
        "253",
        "0",
        None,
        None,
    )


@pytest.mark.parametrize(
    ("hook", "want"), [("sideways", Verdict.UNDECIDED), ("egress", Verdict.ACCEPT), ("input", Verdict.DROP)]
)
def test_a_chain_whose_place_is_not_understood_takes_an_accept_back(hook: str, want: Verdict) -> None:
    chain = {
        "family": "inet",
        "table": "t",
        "name": "c",
        "handle": 1,
        "type": "filter",
        "hook": hook,
        "prio": 0,
        "policy": "drop",
    }
    listing = json.dumps({"nftables": [{"table": {"family": "inet", "name": "t", "handle": 1}}, {"chain": chain}]})
    assert explain(parse_nft.parse(listing), packet()).verdict is want
