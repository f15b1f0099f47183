import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.analysis.readers import shapes
from agent.analysis.readers.iptables_rule import read_words
from agent.analysis.readers.shapes import Shapes
from agent.analysis.readers.tokens import words
from agent.model.packet import Field
from agent.model.ruleset import Accept, Compare, Intervals, Jump

_CHAINS = frozenset(("KUBE-X", "KUBE-Y"))
_LINE = ' -s 10.0.0.{}/32 -p tcp -m tcp --dport {} -m comment --comment "svc {}" -j ACCEPT'


def span(field: Field, value: int) -> Compare:
    return Compare(field, Intervals(((value, value),)))


def test_rules_of_one_shape_share_all_but_their_values() -> None:
    found = Shapes("ip", _CHAINS)
    first, second = found.read(_LINE.format(1, 80, "a")), found.read(_LINE.format(2, 80, "b"))
    assert first is not None
    assert second is not None
    tcp = span(Field.PROTOCOL, 6)
    assert first == ((span(Field.SADDR, 0x0A000001), tcp, span(Field.DPORT, 80), Accept()), "svc a")
    assert second == ((span(Field.SADDR, 0x0A000002), tcp, span(Field.DPORT, 80), Accept()), "svc b")
    assert all(one is other for one, other in zip(first[0][1:], second[0][1:], strict=True))


def test_the_target_that_ends_a_line_is_a_value() -> None:
    found = Shapes("ip", _CHAINS)
    assert found.read(" -j KUBE-X") == ((Jump("KUBE-X"),), "")
    assert found.read(" -j ACCEPT") == ((Accept(),), "")


def test_more_shapes_than_a_program_writes_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shapes, "_MOST", 2)
    found = Shapes("ip", _CHAINS)
    assert [found.read(f" -p {number} -j ACCEPT") for number in (1, 2, 3, 1)] == [
        ((span(Field.PROTOCOL, number), Accept()), "") for number in (1, 2, 3, 1)
    ]


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(' -j LOG --log-prefix "a -s 1.2.3.4"', id="a quote outside a value"),
        pytest.param(" -s 1.2.3.4 -m \0 -j DROP", id="a byte that no kernel prints"),
        pytest.param(" -c 10 600 -s 1.2.3.4 -j DROP", id="a counter"),
        pytest.param(" what -s 1.2.3.4 -j DROP", id="a word without a place"),
        pytest.param(" -m -s 1.2.3.4 -j DROP", id="an option that is the name of a match"),
        pytest.param(" -p tcp --tcp-flags -s 1.2.3.4 -j DROP", id="an option that is another one's value"),
        pytest.param(" -m comment --comment a -m comment --comment b", id="two comments"),
        pytest.param(" -m comment --comment a --comment b", id="a comment twice"),
        pytest.param(" -m comment -j DROP", id="a comment without a text"),
        pytest.param(" -m limit --comment a", id="a comment elsewhere"),
        pytest.param(" -p tcp -m tcp --comment a", id="a comment among ports"),
        pytest.param(" -p sctp -m sctp --dport 5", id="ports of a rare protocol"),
        pytest.param(" -j MARK --comment a", id="a value of the target"),
        pytest.param(" --dport 5", id="a port without a protocol"),
    ],
)
def test_what_is_not_plain_is_left_to_be_read_word_by_word(line: str) -> None:
    assert Shapes("ip", _CHAINS).read(line) is None


@pytest.mark.parametrize("value", ["0.0.0.0/0", "node.example", "10.0.0.1,10.0.0.2", "10.0.0.0/33"])
def test_a_value_that_is_no_network_says_in_a_shape_what_it_says_word_by_word(value: str) -> None:
    found = Shapes("ip", _CHAINS)
    assert found.read(" -s 10.0.0.1/32 -j ACCEPT") == ((span(Field.SADDR, 0x0A000001), Accept()), "")
    reading = read_words(words(f"-s {value} -j ACCEPT"), "ip", _CHAINS)
    assert found.read(f" -s {value} -j ACCEPT") == (reading.statements, reading.comment)


_VALUES = st.sampled_from(
    [
        *("10.0.0.1", "10.0.0.0/8", "0.0.0.0/0", "10.0.0.1,10.0.0.2", "fd00::1", "22", "1:5", "ssh", "70000"),
        *("KUBE-X", "ACCEPT", "LOG", "x", "!", "-j", "-s", '"a b"', '"-s x"', '"a\\"b"', '"open', 'clo"sed', '"a"b'),
    ]
)
_OPTIONS = st.sampled_from(
    [
        *("-s", "-d", "! -s", "-d !", "-p", "-j", "-g", "-m", "--sport", "! --dport", "--comment", "--log-prefix", "--what"),
        *("-m tcp --dport", "-p tcp -m tcp --sport", "-p udp --dport", "-m multiport --dports", "-m comment --comment"),
        *("--tcp-flags SYN", "--syn"),
    ]
)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(_OPTIONS, _VALUES).map(" ".join), max_size=5).map(" ".join), st.data(), st.sampled_from(["ip", "ip6"])
)
def test_a_shape_says_what_reading_word_by_word_says(line: str, data: st.DataObject, family: str) -> None:
    found = Shapes(family, _CHAINS)
    for each in (line, line.replace(data.draw(_VALUES), data.draw(_VALUES))):
        said = found.read(f" {each}")
        reading = read_words(words(each), family, _CHAINS)
        assert said is None or said == (reading.statements, reading.comment)
        assert said is None or not reading.fault
