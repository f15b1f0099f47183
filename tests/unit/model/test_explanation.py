import pytest

from agent.model.codec import from_plain, to_plain
from agent.model.explanation import Departure, Explanation, Reply, RuleRef, Verdict

RULE = RuleRef(
    backend="nft", family="ip", hook="output", table="filter", chain="OUTPUT", rule_number=1, text="-A OUTPUT -j DROP"
)
OTHER = RuleRef(backend="nft", family="inet", hook="input", table="t", chain="in", policy=True, text="policy accept")


@pytest.mark.parametrize(
    ("verdict", "reply", "want"),
    [
        (Verdict.ACCEPT, None, None),
        (Verdict.ACCEPT, Reply(verdict=Verdict.ACCEPT, decided_by=RULE), None),
        (Verdict.ACCEPT, Reply(verdict=Verdict.UNDECIDED), None),
        (Verdict.ACCEPT, Reply(verdict=Verdict.REJECT, decided_by=RULE), RULE),
        (Verdict.DROP, None, OTHER),
        (Verdict.REJECT, None, OTHER),
        (Verdict.UNDECIDED, None, None),
    ],
)
def test_a_connection_is_stopped_on_either_way(verdict: Verdict, reply: Reply | None, want: RuleRef | None) -> None:
    assert Explanation(packet={}, verdict=verdict, decided_by=OTHER, reply=reply).stopped_by == want


def test_an_explanation_comes_back_from_its_data() -> None:
    leaves = Departure(source=None, sport=None, destination="192.0.2.1", dport=80, rewritten_by=RULE)
    made = Explanation(packet={"mark": 1}, verdict=Verdict.ACCEPT, reply=Reply(verdict=Verdict.ACCEPT), leaves_as=(leaves,))
    assert from_plain(Explanation, to_plain(made)) == made


def test_a_rule_is_told_in_its_owners_words() -> None:
    assert (RULE.tool, OTHER.tool) == ("iptables-nft", "nft")
