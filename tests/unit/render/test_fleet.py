"""agent.render.fleet: many nodes as text."""

from agent.analysis.fleet.matrix import build_matrix
from agent.analysis.fleet.outliers import view_fleet
from agent.model.reach import Reach, ReachFinding, ReachFix, ReachRule, ReachVantage
from agent.render import fleet

BLOCKED = Reach(
    node="w1",
    state="blocked",
    cause="input-reject",
    summary="Pods cannot reach it.\x1b[31m",
    rule=ReachRule(place="rule 6 of filter INPUT (iptables-nft)", text="-A INPUT -j REJECT"),
    findings=(ReachFinding(code="input-reject", severity="critical", message="m"),),
    vantages=(
        ReachVantage(
            vantage="pod",
            source="10.244.4.7",
            to="172.31.16.124:10250",
            outcome="host-prohibited",
            errno="EHOSTUNREACH",
            icmp="3/10",
        ),
    ),
    fix=ReachFix(id="f1", state="trial", expiry_time="T9"),
    node_addresses=("172.31.16.124",),
    fingerprint="bbb",
    look_time="T1",
    transition_time="T0",
)
FINE = Reach(node="w2", state="reachable", fingerprint="aaa", node_addresses=("172.31.22.159",))


def test_the_sentence_then_the_trouble_then_the_groups() -> None:
    lines = fleet.fleet(
        view_fleet([BLOCKED, FINE, Reach(node="w3", state="reachable", fingerprint="aaa"), Reach(node="w9")])
    ).splitlines()
    assert lines[0].startswith("1 of 3 nodes is stopped (w1), by rule 6")
    assert lines[2].split() == ["NODE", "STATE", "CAUSE", "RULE", "SINCE"]
    assert lines[3].startswith("w1    blocked  input-reject  rule 6 of filter INPUT (iptables-nft)  T0")
    assert lines[6].startswith("aaa    2      2 reachable  w2, w3")
    assert lines[-2:] == ["2 reachable, 1 blocked", "not answered yet: w9 (1)"]


def test_calm_is_one_line_and_a_count() -> None:
    assert (
        fleet.fleet(view_fleet([FINE])) == "On all 1 nodes pods reach their kubelet, all with the same rules.\n\n1 reachable\n"
    )


def test_one_node_with_all_that_is_known() -> None:
    page = fleet.node(BLOCKED)
    assert page.startswith("w1: BLOCKED. Pods cannot reach it.\\x1b[31m\n")
    for words in (
        "-A INPUT -j REJECT",
        "10.244.4.7 -> 172.31.16.124:10250  host-prohibited  EHOSTUNREACH ICMP 3/10",
        "f1: trial, until T9",
        "so since   T0",
    ):
        assert words in page


def test_a_node_without_an_answer() -> None:
    assert fleet.node(Reach(node="w9")) == "w9: NO ANSWER YET.\n\n"


def test_a_small_matrix_is_drawn() -> None:
    assert fleet.matrix(build_matrix([BLOCKED, FINE])).splitlines() == [
        "FROM \\ TO  w1               w2",
        "w1         host-prohibited",
        "w2",
    ]
    assert fleet.matrix(build_matrix([])) == "no node has answered yet\n"


def test_of_a_large_matrix_what_is_not_open_is_listed() -> None:
    many = [BLOCKED, *(Reach(node=f"n{number}", state="reachable") for number in range(30))]
    lines = fleet.matrix(build_matrix(many)).splitlines()
    assert lines == ["31 nodes, 1 pairs tried, 1 not open", "FROM  TO  OUTCOME", "w1    w1  host-prohibited"]


def test_who_gave_no_answer_is_a_line_with_its_reason() -> None:
    failures = {"w3": "no\x1b agent"}
    assert fleet.fleet(view_fleet([FINE], failures)).splitlines()[2:4] == ["NODE  NO ANSWER", "w3    no\\x1b agent"]
    assert fleet.matrix(build_matrix([], failures)).splitlines() == [
        "no node has answered yet",
        "",
        "NODE  NO ANSWER",
        "w3    no\\x1b agent",
    ]
