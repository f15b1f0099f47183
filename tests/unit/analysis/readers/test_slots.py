import json
from typing import Any

import pytest

from agent.analysis.readers import parse_iptables, parse_nft
from agent.analysis.readers.slots import fill
from agent.model.packet import Field
from agent.model.ruleset import Accept, AnyBit, Backend, Chain, Compare, Counter, Drop, Intervals, Reject, Unclear, Unsure

_CONNTRACK = {"xt": {"type": "match", "name": "conntrack"}}
_COMMENT = {"xt": {"type": "match", "name": "comment"}}
_REJECT = {"xt": {"type": "target", "name": "REJECT"}}
_LIMIT = {"limit": {"rate": 3, "per": "minute", "burst": 5}}
_ACCEPT = {"accept": None}


def dport(port: int) -> dict[str, Any]:
    left = {"payload": {"protocol": "tcp", "field": "dport"}}
    return {"match": {"op": "==", "left": left, "right": port}}


def filled(rules: list[list[Any]], lines: list[str], family: str = "ip") -> Chain:
    place = {"family": "ip", "table": "filter"}
    base = {"name": "INPUT", "type": "filter", "hook": "input", "prio": 0, "policy": "drop"}
    objects = [{"table": {"family": "ip", "name": "filter"}}, {"chain": {**place, **base}}]
    objects += [{"rule": {**place, "chain": "INPUT", "handle": at, "expr": rule}} for at, rule in enumerate(rules, 10)]
    save = "\n".join(["*filter", ":INPUT DROP [5:300]", *(f"[9:540] -A INPUT {line}" for line in lines), "COMMIT"])
    nft = parse_nft.parse(json.dumps({"nftables": objects}))
    return fill(nft, parse_iptables.parse(save, Backend.NFT, family), family).tables[0].chains[0]


def test_a_slot_takes_what_the_save_line_says() -> None:
    chain = filled(
        [[_CONNTRACK, _COMMENT, {"counter": {"packets": 9, "bytes": 540}}, _ACCEPT]],
        ['-m conntrack --ctstate NEW -m comment --comment "hi" -j ACCEPT'],
    )
    (rule,) = chain.rules
    assert rule.statements == (Compare(Field.CT_STATE, AnyBit(8)), Accept())
    assert rule.text == '-A INPUT -m conntrack --ctstate NEW -m comment --comment "hi" -j ACCEPT'
    assert (rule.handle, rule.counter, rule.comment) == (10, Counter(9, 540), "hi")
    assert chain.base is not None
    assert chain.base.counter == Counter(5, 300)


@pytest.mark.parametrize(
    ("rule", "line"),
    [
        pytest.param([_REJECT], "-j REJECT --reject-with icmp-host-prohibited", id="a target"),
        pytest.param(
            [_LIMIT, _REJECT], "-m limit --limit 3/min -j REJECT --reject-with icmp-host-prohibited", id="beside a limit"
        ),
        pytest.param(
            [{"xt": {"type": "match", "name": "conntrack"}}, _REJECT],
            "-m state --state NEW -j REJECT --reject-with icmp-host-prohibited",
            id="under the kernel's name",
        ),
        pytest.param(
            [dport(22), _REJECT],
            "-p tcp -m tcp --dport 22 -j REJECT --reject-with icmp-host-prohibited",
            id="beside an equal port",
        ),
    ],
)
def test_targets_are_filled(rule: list[Any], line: str) -> None:
    assert filled([rule], [line]).rules[0].statements[-1] == Reject("icmp-host-prohibited")


@pytest.mark.parametrize(
    ("rules", "lines"),
    [
        pytest.param(
            [[dport(22), _CONNTRACK, _ACCEPT]], ["-p tcp -m conntrack --ctstate NEW -j ACCEPT"], id="a test is missing"
        ),
        pytest.param(
            [[dport(22), _CONNTRACK, _ACCEPT]],
            ["-p tcp -m tcp --dport 23 -m conntrack --ctstate NEW -j ACCEPT"],
            id="a test differs",
        ),
        pytest.param([[_CONNTRACK, _ACCEPT]], ["-m conntrack --ctstate NEW -j DROP"], id="the verdict differs"),
        pytest.param([[_CONNTRACK, _ACCEPT]], ["-m addrtype --dst-type LOCAL -j ACCEPT"], id="another extension"),
        pytest.param([[_CONNTRACK, _ACCEPT]], ["-m conntrack --ctstate NEW -j ACCEPT", "-j DROP"], id="the counts differ"),
    ],
)
def test_readings_that_do_not_agree_leave_the_rule_unanswered(rules: list[list[Any]], lines: list[str]) -> None:
    (rule,) = filled(rules, lines).rules
    unsure = [each for each in rule.statements if isinstance(each, Unsure)]
    assert unsure
    assert "iptables-save" in unsure[0].why
    assert not rule.text.startswith("-A")


def test_a_target_that_stays_hidden_is_unclear() -> None:
    assert isinstance(filled([[dport(22), _REJECT]], ["-j REJECT"]).rules[0].statements[-1], Unclear)


def test_a_rule_without_a_slot_never_believes_the_save_line() -> None:
    ports = {"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": {"set": [80, 443]}}}
    (rule,) = filled([[ports, {"drop": None}]], ["-p tcp -j DROP"]).rules
    assert rule.statements[1:] == (Compare(Field.DPORT, Intervals(((80, 80), (443, 443)))), Drop())
    assert rule.text == "tcp dport { 80, 443 } drop"


def test_a_rule_that_both_readings_show_equally_has_the_save_line_as_text() -> None:
    (rule,) = filled([[dport(22), _ACCEPT]], ["-p tcp -m tcp --dport 22 -j ACCEPT"]).rules
    assert rule.text == "-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT"


def test_a_chain_that_the_save_does_not_show_stays_as_it_is() -> None:
    chain = {"chain": {"family": "ip", "table": "filter", "name": "OTHER"}}
    nft = parse_nft.parse(json.dumps({"nftables": [{"table": {"family": "ip", "name": "filter"}}, chain]}))
    assert fill(nft, parse_iptables.parse("*filter\nCOMMIT\n", Backend.NFT, "ip"), "ip") == nft


def test_what_only_logs_need_not_be_shown_twice() -> None:
    (rule,) = filled([[_CONNTRACK, {"log": {"prefix": "x"}}]], ["-m conntrack --ctstate NEW"]).rules
    assert rule.statements[0] == Compare(Field.CT_STATE, AnyBit(8))


def test_a_save_of_the_other_family_fills_nothing() -> None:
    (rule,) = filled([[_CONNTRACK, _ACCEPT]], ["-m conntrack --ctstate NEW -j ACCEPT"], "ip6").rules
    assert isinstance(rule.statements[0], Unsure)
