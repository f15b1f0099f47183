from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.analysis.path.match import Bits, Missing, evaluate, holds, read_fields, rules_out, why_unknown
from agent.model.packet import CtState, Field, Packet
from agent.model.ruleset import AnyBit, AnyOf, Compare, Drop, Intervals, Lookup, Masked, Names, Pass, SetMark, Unsure, Words
from agent.model.tri import Tri
from tests.unit.analysis.path.rulesets import MAYBE, NODE, POD, TCP_ONLY, UDP_ONLY, packet

SIX = {"source": ip_address("fd00::8a"), "destination": ip_address("fd00::7c"), "local": (ip_address("fd00::7c"),)}
_NOT = {Tri.YES: Tri.NO, Tri.NO: Tri.YES, Tri.UNKNOWN: Tri.UNKNOWN}
DPORT = Compare(Field.DPORT, Intervals(((22, 22), (10000, 10300))))


def interval(low: str, high: str) -> Intervals:
    return Intervals(((int(ip_address(low)), int(ip_address(high))),))


def many(value: int) -> Intervals:
    return Intervals((*((10 * i, 10 * i + 5) for i in range(100)), (value, value + 1)))


@pytest.mark.parametrize(
    ("statement", "want"),
    [
        (Compare(Field.SADDR, interval("10.244.4.0", "10.244.4.255")), Tri.YES),
        (Compare(Field.SADDR, interval("10.244.5.0", "10.244.5.255")), Tri.NO),
        (Compare(Field.SADDR, interval("10.244.4.0", "10.244.4.255"), negate=True), Tri.NO),
        (Compare(Field.SADDR, Masked(0xFF0000FF, int(POD) & 0xFF0000FF)), Tri.YES),
        (DPORT, Tri.YES),
        (Compare(Field.DPORT, many(10250)), Tri.YES),
        (Compare(Field.DPORT, many(10260)), Tri.NO),
        (Compare(Field.DPORT, Intervals(())), Tri.NO),
        (Compare(Field.LENGTH, Intervals(((0, 100),))), Tri.UNKNOWN),
        (Compare(Field.LENGTH, Intervals(((0, 100),)), negate=True), Tri.UNKNOWN),
        (Compare(Field.IIF, Names(("eth0", "cni*"))), Tri.YES),
        (Compare(Field.IIF, Names(("cni",))), Tri.NO),
        (Compare(Field.IIF, Names(("*",))), Tri.YES),
        (Compare(Field.IIF, Intervals(((1, 5),))), Tri.UNKNOWN),
        (Compare(Field.DPORT, Names(("10250",))), Tri.UNKNOWN),
        (Compare(Field.CT_STATE, AnyBit(CtState.NEW | CtState.ESTABLISHED)), Tri.YES),
        (Compare(Field.CT_STATE, AnyBit(CtState.NEW), negate=True), Tri.NO),
        (Compare(Field.TCP_FLAGS, Masked(0x17, 0x02)), Tri.YES),
        (Compare(Field.FRAGMENT, Intervals(((1, 1),))), Tri.NO),
        (Compare(Field.NFPROTO, Intervals(((10, 10),))), Tri.NO),
        (Compare(Field.PKTTYPE, Words(("host",))), Tri.YES),
        (Compare(Field.PKTTYPE, Words(("unicast",))), Tri.YES),
        (Compare(Field.PKTTYPE, Words(("broadcast", "multicast"))), Tri.NO),
        (
            Lookup((Field.SADDR, Field.DPORT), ((interval("10.0.0.0", "10.255.255.255"), Intervals(((10250, 10250),))),)),
            Tri.YES,
        ),
        (Lookup((Field.SADDR, Field.LENGTH), ((Intervals(((1, 1),)), Intervals(((40, 60),))),)), Tri.NO),
        (Lookup((Field.DPORT, Field.LENGTH), ((Intervals(((10250, 10250),)), Intervals(((40, 60),))),)), Tri.UNKNOWN),
        (Lookup((Field.DPORT,), (), negate=True), Tri.YES),
        (AnyOf((UDP_ONLY, MAYBE)), Tri.UNKNOWN),
        (AnyOf((MAYBE, TCP_ONLY)), Tri.YES),
        (AnyOf((MAYBE, TCP_ONLY), negate=True), Tri.NO),
        (AnyOf((UDP_ONLY,), negate=True), Tri.YES),
        (MAYBE, Tri.UNKNOWN),
    ],
)
def test_one_statement_against_the_pods_packet(statement: Compare, want: Tri) -> None:
    assert evaluate(statement, packet()) is want


@pytest.mark.parametrize(
    ("field", "word", "changes", "want"),
    [
        (Field.DADDR_TYPE, "local", {}, Tri.YES),
        (Field.DADDR_TYPE, "unicast", {}, Tri.NO),
        (Field.DADDR_TYPE, "local", {"local": ()}, Tri.YES),
        (Field.DADDR_TYPE, "local", {"destination": ip_address("172.31.22.159")}, Tri.NO),
        (Field.SADDR_TYPE, "local", {}, Tri.NO),
        (Field.SADDR_TYPE, "unicast", {}, Tri.YES),
        (Field.SADDR_TYPE, "local", {"local": ()}, Tri.UNKNOWN),
        (Field.SADDR_TYPE, "multicast", {"local": ()}, Tri.NO),
        (Field.SADDR_TYPE, "local", {"local": (), "source": ip_address("127.0.0.1")}, Tri.YES),
        (Field.SADDR_TYPE, "local", {"local": (), "source": NODE}, Tri.YES),
        (Field.SADDR_TYPE, "multicast", {"local": (), "source": ip_address("224.0.0.1")}, Tri.YES),
        (Field.SADDR_TYPE, "broadcast", {"source": ip_address("0.0.0.0")}, Tri.YES),
        (Field.DADDR_TYPE, "broadcast", {"destination": ip_address("255.255.255.255")}, Tri.YES),
        (Field.PKTTYPE, "broadcast", {"destination": ip_address("255.255.255.255")}, Tri.YES),
        (Field.PKTTYPE, "host", {"destination": ip_address("224.0.0.1")}, Tri.NO),
        (Field.DADDR_TYPE, "local", SIX, Tri.YES),
        (Field.DADDR_TYPE, "unicast", SIX, Tri.UNKNOWN),
        (Field.DADDR_TYPE, "only unicast", SIX, Tri.NO),
        (Field.SADDR_TYPE, "only unicast", SIX, Tri.YES),
        (Field.SADDR_TYPE, "unicast", SIX, Tri.YES),
        (Field.SADDR_TYPE, "local", SIX, Tri.NO),
        (Field.SADDR_TYPE, "anycast", SIX, Tri.UNKNOWN),
        (Field.SADDR_TYPE, "local", SIX | {"source": ip_address("::1")}, Tri.YES),
        (Field.SADDR_TYPE, "local", SIX | {"local": ()}, Tri.UNKNOWN),
        (Field.DADDR_TYPE, "multicast", SIX | {"destination": ip_address("ff02::1")}, Tri.YES),
    ],
)
def test_address_and_packet_types(field: Field, word: str, changes: dict[str, object], want: Tri) -> None:
    assert evaluate(Compare(field, Words((word,))), packet(**changes)) is want


def test_ipv6_types_that_the_backends_read_differently_are_unknown() -> None:
    assert evaluate(Compare(Field.SADDR_TYPE, Words(("local", "unicast"))), packet(**SIX)) is Tri.UNKNOWN
    assert evaluate(Compare(Field.SADDR_TYPE, Words(("local", "unicast"))), packet()) is Tri.YES
    # nft has one type for an address, and the list holds it
    assert evaluate(Compare(Field.DADDR_TYPE, Words(("local", "only unicast"))), packet(**SIX)) is Tri.YES


@pytest.mark.parametrize("negate", [False, True])
def test_a_test_of_what_is_not_there_never_matches(negate: bool) -> None:
    fields = {**read_fields(packet(), delivered=True), Field.CT_MARK: Missing.ABSENT}
    assert holds(Compare(Field.CT_MARK, Masked(0xF, 0), negate), fields) is Tri.NO
    assert holds(Lookup((Field.DPORT, Field.CT_MARK), (), negate), fields) is Tri.NO
    element = ((Intervals(((10250, 10250),)), Masked(0, 0)),)
    assert holds(Lookup((Field.DPORT, Field.CT_MARK), element, negate), fields) is Tri.NO


@pytest.mark.parametrize(
    ("test", "want"),
    [
        (AnyBit(0x20), Tri.YES),
        (AnyBit(0x02), Tri.NO),
        (AnyBit(0x08), Tri.UNKNOWN),
        (AnyBit(0x28), Tri.YES),
        (Masked(0x22, 0x20), Tri.YES),
        (Masked(0x22, 0x02), Tri.NO),
        (Masked(0x28, 0x20), Tri.UNKNOWN),
        (Masked(0x20, 0x60), Tri.NO),
        (Intervals(((0x20, 0x20),)), Tri.UNKNOWN),
    ],
)
def test_numbers_of_which_only_some_bits_are_known(test: AnyBit, want: Tri) -> None:
    fields = {**read_fields(packet(), delivered=True), Field.CT_STATUS: Bits(0x20, 0x22)}
    assert holds(Compare(Field.CT_STATUS, test), fields) is want


def test_two_states_at_once_are_no_state() -> None:
    odd = packet(ctstate=CtState.NEW | CtState.ESTABLISHED)
    assert evaluate(Compare(Field.CT_STATE, AnyBit(CtState.NEW)), odd) is Tri.UNKNOWN


def test_what_is_not_tcp_has_no_flags() -> None:
    assert evaluate(Compare(Field.TCP_FLAGS, Masked(2, 2)), packet(protocol=17)) is Tri.UNKNOWN


def test_a_rule_is_ruled_out_by_a_failing_test_before_its_first_action() -> None:
    fields = read_fields(packet(), delivered=True)
    assert rules_out((MAYBE, Pass("LOG"), UDP_ONLY, Drop()), fields)
    assert not rules_out((TCP_ONLY, Drop()), fields)
    assert not rules_out((SetMark(Field.MARK, 0, 1), UDP_ONLY, Drop()), fields)
    assert not rules_out((MAYBE,), fields)


def test_the_reason_for_a_maybe_names_what_is_missing() -> None:
    fields = read_fields(packet(), delivered=True)
    length = Compare(Field.LENGTH, Intervals(((1, 2),)))
    assert why_unknown(MAYBE, fields) == "a rate limit is kernel state"
    assert why_unknown(length, fields) == "not enough is known of the packet's length"
    assert why_unknown(Lookup((Field.TTL, Field.DPORT), ()), fields) == "not enough is known of the packet's ttl, dport"
    assert why_unknown(AnyOf((UDP_ONLY, MAYBE, length, MAYBE)), fields).split("; ") == [
        "a rate limit is kernel state",
        "not enough is known of the packet's length",
    ]


RANGES = st.lists(st.tuples(st.integers(0, 300), st.integers(0, 8)), max_size=12)


@given(RANGES, st.integers(0, 330))
def test_ranges_are_searched_as_they_read(pairs: list[tuple[int, int]], port: int) -> None:
    merged: list[tuple[int, int]] = []
    for low, width in sorted(pairs):
        if not merged or low > merged[-1][1]:
            merged.append((low, low + width))
    want = Tri.of(any(low <= port <= high for low, high in merged))
    assert evaluate(Compare(Field.DPORT, Intervals(tuple(merged))), packet(dport=port)) is want


@given(st.lists(st.sampled_from([TCP_ONLY, UDP_ONLY, Unsure("x", "y")]), max_size=4), st.booleans())
def test_any_of_is_kleenes_or(tests: list[Compare], negate: bool) -> None:
    answers = {evaluate(test, packet()) for test in tests}
    want = next((answer for answer in (Tri.YES, Tri.UNKNOWN) if answer in answers), Tri.NO)
    assert evaluate(AnyOf(tuple(tests), negate), packet()) is (_NOT[want] if negate else want)


def test_a_packet_to_elsewhere_is_not_local_when_nothing_is_known_and_it_is_not_delivered() -> None:
    fields = read_fields(Packet(source=POD, destination=NODE), delivered=False)
    assert holds(Compare(Field.DADDR_TYPE, Words(("local",))), fields) is Tri.UNKNOWN
