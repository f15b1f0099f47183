import pytest

from agent.analysis.readers.late import LateRules, Lines, mention, repeat
from agent.analysis.readers.parse_iptables import parse
from agent.model.ruleset import Backend, Pass, Rule, Unclear

TEXT = '-A X -j LOG\n-A Y -j DROP\n-A X -m comment --comment "a\nb"\n'


def rows() -> tuple[LateRules, list[str]]:
    """The rules of X in the text, and the lines that were understood so far."""
    lines, understood = Lines(TEXT), []

    def understand(of):
        for number, line in enumerate(of, 1):
            understood.append(line)
            yield Rule(number, line, (Pass(line),))

    lines.add(0, 12)
    lines.add(25, len(TEXT))
    return LateRules(lines, understand), understood


def test_nothing_is_understood_before_somebody_looks() -> None:
    late, understood = rows()
    assert late
    assert mention(late, "LOG")
    assert not mention(late, "DROP")
    assert understood == []
    assert len(late) == 2
    assert understood == ["-A X -j LOG", '-A X -m comment --comment "a\nb"']


def test_it_is_understood_once() -> None:
    late, understood = rows()
    assert [rule.number for rule in late] == [1, 2]
    assert late[0].number == 1
    assert late[1:] == tuple(late)[1:]
    assert len(understood) == 2


def test_it_is_equal_to_the_same_rules() -> None:
    late, other = rows()[0], rows()[0]
    assert late == other
    assert late == tuple(late)
    assert tuple(late) == late
    assert late != tuple(late)[:1]
    assert hash(late) == hash(tuple(late))
    assert repr(late) == repr(tuple(late))


def test_no_rule() -> None:
    late = LateRules(Lines(TEXT), lambda _: ())
    assert not late
    assert list(late) == []


@pytest.mark.parametrize(("word", "found"), [("LOG", True), ("DROP", False)])
def test_a_tuple_mentions_what_its_rules_do(word: str, found: bool) -> None:
    assert mention(tuple(rows()[0]), word) is found


def test_a_rule_that_is_not_understood_says_so_where_it_is_met() -> None:
    ruleset = parse("*filter\n:INPUT ACCEPT [0:0]\n:X - [0:0]\n-A X -j DROP what\n", Backend.LEGACY, "ip")
    (rule,) = ruleset.tables[0].chain("X").rules
    assert ruleset.problems == ()
    assert rule.statements[-1] == Unclear("-j DROP what", "these words have no place in the rule: what")


def test_rules_repeat_others_that_were_printed_alike_without_a_look() -> None:
    (late, understood), (other, understood_too) = rows(), rows()
    assert repeat(late, other)
    assert understood == understood_too == []


def test_rules_do_not_repeat_what_was_printed_otherwise_or_is_no_text() -> None:
    late, other, shorter = rows()[0], Lines(TEXT.replace("LOG", "log")), Lines(TEXT)
    other.add(0, 12)
    other.add(25, len(TEXT))
    shorter.add(0, 12)
    assert not repeat(late, LateRules(other, lambda _: ()))
    assert not repeat(late, LateRules(shorter, lambda _: ()))
    assert not repeat(late, tuple(late))
    assert not repeat(tuple(late), late)
