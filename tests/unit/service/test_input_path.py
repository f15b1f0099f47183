"""What of a firewall is shown: the chains that a packet to this node meets, and what of them is not understood."""

from agent.analysis.relevance import shadows
from agent.model.packet import Field
from agent.model.ruleset import (
    Accept,
    AnyOf,
    Backend,
    Base,
    Chain,
    Compare,
    Counter,
    Hook,
    Intervals,
    Jump,
    Rule,
    Ruleset,
    Table,
    Unclear,
    Unsure,
    VerdictMap,
)
from agent.service.input_path import narrow, trace_path


def chain(name, *statements, hook=None):
    base = Base(kind="filter", hook=hook, priority=0, counter=Counter(5, 300)) if hook else None
    rules = tuple(
        Rule(number=i, text=f"rule {i}", statements=row, counter=Counter(i, 60)) for i, row in enumerate(statements, 1)
    )
    return Chain(name=name, rules=rules, base=base)


ANY = Intervals(((0, 65535),))
RULESET = Ruleset(
    tables=(
        Table(
            backend=Backend.NFT,
            family="ip",
            name="filter",
            chains=(
                chain("INPUT", (Jump("A"),), (AnyOf((Compare(Field.DPORT, ANY), Unsure("set", "not read"))),), hook=Hook.INPUT),
                chain("FORWARD", (Jump("C"),), hook=Hook.FORWARD),
                chain("A", (VerdictMap((Field.DPORT,), (((ANY,), Jump("B")), ((ANY,), Unclear("queue", "a program")))),)),
                chain("B", (Jump("A"),), (Accept(),)),
                chain("C"),
            ),
        ),
        Table(backend=Backend.NFT, family="ip", name="nat", chains=(chain("POSTROUTING", hook=Hook.POSTROUTING),)),
    ),
    problems=("one line was not understood",),
    unread=("the legacy backend",),
)


def test_only_chains_that_an_incoming_packet_meets_remain():
    met = narrow(RULESET)
    assert [[chain.name for chain in table.chains] for table in met.tables] == [["INPUT", "A", "B"]]
    assert (met.problems, met.unread) == (RULESET.problems, RULESET.unread)


def test_the_path_has_places_counters_and_texts():
    first = trace_path(RULESET).chains[0]
    assert (first.table, first.chain, first.hook, first.policy, first.packets) == ("filter", "INPUT", "input", "accept", 5)
    assert (first.rules[1].rule_number, first.rules[1].packets, first.rules[1].text) == (2, 2, "rule 2")


def test_what_is_not_understood_is_said_wherever_it_hides():
    chains = {chain.chain: chain for chain in trace_path(RULESET).chains}
    assert chains["INPUT"].rules[1].not_understood == ("set: not read",)
    assert chains["A"].rules[0].not_understood == ("queue: a program",)


def test_what_is_missing_altogether_is_said():
    assert trace_path(RULESET).unread == ("the legacy backend",)


def test_a_chain_behind_rules_that_no_packet_comes_to_is_said_to_be_dead():
    table = Table(
        backend=Backend.NFT,
        family="ip",
        name="filter",
        chains=(chain("INPUT", (Accept(),), (Jump("KUBE-X"),), hook=Hook.INPUT), chain("KUBE-X"), chain("OLD", (Accept(),))),
    )
    path = trace_path(Ruleset(tables=(table,)))
    assert [each.remark for each in path.chains] == ["", "only rules that no packet comes to lead here"]
    assert path.chains[0].rules[1].shadowed_by == 1
    place = ("nft", "ip", "filter")
    assert path.remarks == {
        (*place, "INPUT", 2): "never reached: rule 1 takes every packet",
        (
            *place,
            "KUBE-X",
            None,
        ): "kube-proxy or kubelet, changed with kube-proxy; only rules that no packet comes to lead here",
    }
    assert [(each.chain, each.rules) for each in path.unused] == [("OLD", 1)]
    assert path.notes == ("no base chain leads to: OLD (1 chain of ip filter, nft)",)


def test_many_chains_that_stand_nowhere_are_named_by_a_few():
    table = Table(backend=Backend.NFT, family="ip", name="t", chains=tuple(chain(f"C{number}") for number in range(12)))
    (note,) = trace_path(Ruleset(tables=(table,))).notes
    assert note.endswith("C9, ... (12 chains of ip t, nft)")


def test_a_chain_too_long_to_compare_is_a_problem(monkeypatch):
    monkeypatch.setattr(shadows, "MAX_COMPARISONS", 0)
    table = Table(
        backend=Backend.NFT, family="ip", name="t", chains=(chain("INPUT", (Accept(),), (Accept(),), hook=Hook.INPUT),)
    )
    assert trace_path(Ruleset(tables=(table,))).problems == ("t INPUT has too many rules to look for all that are shadowed.",)
