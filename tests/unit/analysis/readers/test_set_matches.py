import json

import pytest

from agent.analysis.readers import ipset, parse_iptables, set_matches
from agent.analysis.readers.read import RefusedInput, read_firewall, read_texts
from agent.model.capture import IPSET_SAVE, LEGACY_SAVE, Firewall, Reading
from agent.model.packet import Field
from agent.model.ruleset import Accept, AnyOf, Backend, Compare, Drop, Intervals, Match, Ruleset, Unsure

_SETS = """\
create s hash:ip family inet counters
add s 10.0.0.1
create six hash:ip family inet6
add six fd00::1
create p hash:ip,port family inet
add p 10.0.0.2,tcp:80
create l list:set size 8
add l s
add l six
create k list:set size 8
add k s
add k gone
create n list:set size 8
add n l
create both list:set size 8
add both s
add both p
create odd hash:ip family inet
add odd elsewhere
create a b hash:ip
create a  c hash:ip
create a c hash:ip
"""
_SADDR, _DADDR = (Compare(field, Intervals(((0x0A000001, 0x0A000001),))) for field in (Field.SADDR, Field.DADDR))
_NEVER = Compare(Field.NFPROTO, Intervals(()))


def save(*rules: str) -> str:
    return "*filter\n:INPUT ACCEPT [0:0]\n" + "".join(f"-A INPUT {rule}\n" for rule in rules) + "COMMIT\n"


def read(*rules: str, sets: str | None = _SETS, family: str = "ip") -> Ruleset:
    ruleset = parse_iptables.parse(save(*rules), Backend.LEGACY, family)
    return set_matches.answer(ruleset, None if sets is None else ipset.parse(sets))


def statements(*rules: str, sets: str | None = _SETS, family: str = "ip") -> tuple[object, ...]:
    """Those of the last rule."""
    return read(*rules, sets=sets, family=family).tables[0].chains[0].rules[-1].statements


def why(*rules: str, sets: str | None = _SETS) -> str:
    (unsure,) = statements(*rules, sets=sets)[:-1]
    assert isinstance(unsure, Unsure)
    return unsure.why


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("--match-set s src", (_SADDR,)),
        ("--match-set s dst", (_DADDR,)),
        ('--match-set "s" src', (_SADDR,)),
        ("! --match-set s src", (Compare(_SADDR.field, _SADDR.test, negate=True),)),
        ("--match-set s src --return-nomatch ! --update-counters ! --update-subcounters", (_SADDR,)),
        ("--match-set six src", (_NEVER,)),
        ("! --match-set six src", (Compare(Field.NFPROTO, Intervals(()), negate=True),)),
        ("--match-set p src", (_NEVER,)),
        ("--match-set l src", (_SADDR,)),
        ("--match-set a b src", (_NEVER,)),
    ],
)
def test_a_set_that_was_read_is_an_exact_test(asked: str, expected: tuple[Match, ...]) -> None:
    assert statements(f"-m set {asked} -j DROP") == (*expected, Drop())


def test_a_list_is_any_of_its_sets() -> None:
    (test,) = statements("-m set ! --match-set both src,dst -j DROP")[:-1]
    assert isinstance(test, AnyOf)
    assert (test.tests[0], len(test.tests), test.negate) == (_SADDR, 2, True)


def test_a_list_with_a_set_that_is_gone_is_sure_of_the_others() -> None:
    (test,) = statements("-m set --match-set k src -j DROP")[:-1]
    assert isinstance(test, AnyOf)
    assert test.tests[0] == _SADDR
    assert isinstance(test.tests[1], Unsure)
    assert "gone" in test.tests[1].why


def test_counters_are_a_maybe_for_members_alone() -> None:
    first, second, _ = statements("-m set --match-set s src --packets-gt 3 -j DROP")
    assert first == _SADDR
    assert isinstance(second, Unsure)
    (either, _) = statements("-m set ! --match-set s src ! --bytes-eq 3 -j DROP")
    assert isinstance(either, AnyOf)
    assert either.tests[0] == Compare(_SADDR.field, _SADDR.test, negate=True)
    assert "counters" in why("-m set ! --match-set both src,dst --packets-lt 3 -j DROP")


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ("--match-set gone src", "set gone was not read: give ipset save"),
        ("--match-set n src", "was not read: give ipset save"),
        ("--match-set odd src", "entry elsewhere of set odd"),
        ("--match-set a c src", "2 sets may be meant by a c"),
        ("--match-set s up", "not understood"),
        ("--match-set s", "not understood"),
        ("--match-set s src --colour red", "not understood"),
        ("! --return-nomatch --match-set s src", "not understood"),
        ("--match-set s src --match-set p src", "not understood"),
    ],
)
def test_what_cannot_be_answered_says_why(asked: str, sentence: str) -> None:
    assert sentence in why(f"-m set {asked} -j DROP")


def test_without_ipset_save_the_set_is_named() -> None:
    assert why("-m set --match-set s src -j DROP", sets=None) == "set s was not read: give ipset save"


def test_sets_that_were_not_understood_whole_answer_nothing() -> None:
    found = read("-m set --match-set s src -j DROP", sets=_SETS + "gibberish\n")
    assert found.problems == (f"Line {_SETS.count(chr(10)) + 1} of ipset save is not understood: gibberish",)
    assert "not understood whole" in why("-m set --match-set s src -j DROP", sets=_SETS + "gibberish\n")


@pytest.mark.parametrize(
    ("target", "asked", "changed"),
    [
        ("--add-set s src", "s src", True),
        ("--del-set s src --exist", "s src", True),
        ("--add-set l src", "s src", True),
        ("--map-set p src,dst --map-mark --add-set s src", "s src", True),
        ("--add-set s", "s src", True),
        ("--add-set six src", "s src", False),
        ("--map-set s src --map-mark", "s src", False),
    ],
)
def test_a_set_that_rules_change_is_a_maybe(target: str, asked: str, changed: bool) -> None:
    found = statements(f"-j SET {target}", f"-m set --match-set {asked} -j DROP")
    assert isinstance(found[0], Unsure) is changed
    assert "change" in found[0].why if isinstance(found[0], Unsure) else found[0] == _SADDR


def test_a_table_without_such_a_rule_stays_as_it_is() -> None:
    ruleset = parse_iptables.parse(save("-j ACCEPT"), Backend.LEGACY, "ip")
    assert set_matches.answer(ruleset, None).tables[0] is ruleset.tables[0]


def test_a_change_that_nft_hides_may_be_of_any_set() -> None:
    hidden = [{"xt": {"type": "target", "name": "SET"}}]
    chain = {
        "family": "ip",
        "table": "mangle",
        "name": "INPUT",
        "type": "filter",
        "hook": "input",
        "prio": -150,
        "policy": "accept",
    }
    rows = [
        {"table": {"family": "ip", "name": "mangle"}},
        {"chain": chain},
        {"rule": {"family": "ip", "table": "mangle", "chain": "INPUT", "handle": 2, "expr": hidden}},
    ]
    rules = [("rules", save("-m set --match-set s src -j DROP")), ("nft", json.dumps({"nftables": rows}))]
    (unsure, _) = read_texts(rules, [("sets", _SETS)]).tables[0].chains[0].rules[0].statements
    assert isinstance(unsure, Unsure)
    assert "nft does not show whole" in unsure.why


def test_a_log_that_speaks_of_sets_changes_none() -> None:
    assert statements('-j LOG --log-prefix "SET --add-set s"', "-m set --match-set s src -j DROP") == (_SADDR, Drop())


def test_rules_that_ask_the_same_have_the_same_answer() -> None:
    rules = read("-m set --match-set s src -j ACCEPT", "-m set ! --match-set s src -j DROP").tables[0].chains[0].rules
    assert [rule.statements[0] for rule in rules] == [_SADDR, Compare(_SADDR.field, _SADDR.test, negate=True)]


def test_a_rule_that_names_a_set_in_its_comment_stays_as_it_is() -> None:
    assert statements('-m comment --comment "-m set --match-set s src" -j ACCEPT') == (Accept(),)


def firewall(ipsets: Reading | None) -> Firewall:
    rules = Reading(name=LEGACY_SAVE, argv=(), status=0, stdout=save("-m set --match-set s src -j DROP"))
    return Firewall(readings=(rules, ipsets) if ipsets else (rules,), legacy_tables=("filter",))


def test_a_live_reading_answers() -> None:
    ruleset = read_firewall(firewall(Reading(name=IPSET_SAVE, argv=("ipset", "save"), status=0, stdout=_SETS)))
    assert ruleset.tables[0].chains[0].rules[0].statements == (_SADDR, Drop())
    assert (ruleset.problems, ruleset.unread) == ((), ())


def test_a_live_reading_that_failed_is_a_problem_and_a_maybe() -> None:
    missing = Reading(name=IPSET_SAVE, argv=("ipset", "save"), status=None, problem="ipset is not installed")
    ruleset = read_firewall(firewall(missing))
    assert isinstance(ruleset.tables[0].chains[0].rules[0].statements[0], Unsure)
    (problem,) = ruleset.problems
    assert "ipset is not installed" in problem
    assert ruleset.unread == ()


def test_offline_sets_come_out_of_files() -> None:
    rules = [("rules", save("-m set --match-set s src -j DROP"))]
    assert read_texts(rules, [("sets", _SETS)]).tables[0].chains[0].rules[0].statements == (_SADDR, Drop())
    assert read_texts(rules, [("sets", _SETS + "x\n")]).problems[0].startswith("sets: Line")
    with pytest.raises(RefusedInput, match="ipset save"):
        read_texts(rules, [("sets", "Name: s\nType: hash:ip\n")])
    with pytest.raises(RefusedInput, match="given twice"):
        read_texts(rules, [("sets", _SETS), ("more", "create s hash:ip\n")])
