"""agent.analysis.fleet.outliers: one sentence about many nodes."""

from agent.analysis.fleet.outliers import view_fleet
from agent.model.reach import Reach, ReachRule

RULE = ReachRule(place="rule 6 of filter INPUT (iptables-nft)", text="-A INPUT -j REJECT")


def fine(node: str, fingerprint: str = "a") -> Reach:
    return Reach(node=node, state="reachable", fingerprint=fingerprint)


def blocked(node: str, fingerprint: str = "b", rule: ReachRule | None = RULE) -> Reach:
    return Reach(node=node, state="blocked", cause="input-reject", fingerprint=fingerprint, rule=rule)


def test_one_node_with_other_rules_is_named_with_its_rule() -> None:
    view = view_fleet([fine("w2"), blocked("w1"), fine("w3")])
    assert view.sentence == (
        "1 of 3 nodes is stopped (w1), by rule 6 of filter INPUT (iptables-nft): -A INPUT -j REJECT; "
        "only w1 differs in its rules."
    )
    assert [group.nodes for group in view.groups] == [("w2", "w3"), ("w1",)]
    assert [each.node for each in view.trouble] == ["w1"]


def test_several_nodes_with_the_same_rule() -> None:
    view = view_fleet([fine("w3"), fine("w4"), fine("w5"), blocked("w1"), blocked("w2")])
    assert view.sentence.startswith("2 of 5 nodes are stopped (w1, w2), by rule 6")
    assert view.sentence.endswith("only w1, w2 differ in their rules.")


def test_different_rules_are_not_called_one() -> None:
    view = view_fleet([fine("w3"), fine("w4"), fine("w5"), blocked("w1"), blocked("w2", rule=ReachRule(place="elsewhere"))])
    assert view.sentence == "2 of 5 nodes are stopped (w1, w2); only w1, w2 differ in their rules."


def test_a_healthy_node_with_other_rules_takes_the_word_only_away() -> None:
    view = view_fleet([fine("w2"), fine("w3"), fine("w4", "c"), blocked("w1")])
    assert "differ" not in view.sentence


def test_calm() -> None:
    assert view_fleet([fine("a"), fine("b")]).sentence == "On all 2 nodes pods reach their kubelet, all with the same rules."
    assert view_fleet([fine("a"), fine("b", "x")]).sentence.endswith("with 2 different sets of rules.")


def test_trouble_is_ordered_by_how_bad_it_is() -> None:
    unknown, degraded = Reach(node="a", state="unknown"), Reach(node="b", state="degraded")
    view = view_fleet([unknown, degraded, blocked("z")])
    assert [each.state for each in view.trouble] == ["blocked", "degraded", "unknown"]
    assert view_fleet([degraded]).sentence == "1 of 1 nodes is in danger (b)."
    assert view_fleet([unknown]).sentence == "1 of 1 nodes is unknown (a)."


def test_nodes_without_an_answer_are_silent() -> None:
    view = view_fleet([Reach(node="w9"), fine("w1")])
    assert (view.silent, view.total) == (("w9",), 1)
    assert view_fleet([]).sentence == "No node has answered yet."


def test_many_names_are_cut() -> None:
    view = view_fleet([blocked(f"w{number}") for number in range(9)])
    assert "w0, w1, w2, w3, w4 and 4 more" in view.sentence


def test_who_gave_no_answer_is_neither_fine_nor_forgotten() -> None:
    view = view_fleet([fine("w1"), Reach(node="w9")], {"w3": "b", "w2": "a"})
    assert view.sentence == (
        "On all 1 nodes that answered pods reach their kubelet, all with the same rules. 3 more gave no answer."
    )
    assert list(view.failures.items()) == [("w2", "a"), ("w3", "b")]
    assert view_fleet([blocked("w1")], {"w2": "a"}).sentence.endswith("-j REJECT. 1 more gave no answer.")
    assert view_fleet([], {"w2": "a"}).sentence == "No node has answered yet."
