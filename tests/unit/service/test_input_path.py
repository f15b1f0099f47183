"""What of a firewall is shown: the chains that a packet to this node meets, and what of them is not understood."""

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
