import pytest

from agent.analysis.readers.addresses import parse_address, parse_network, parse_range
from agent.model.ruleset import Intervals, Masked


@pytest.mark.parametrize(
    ("text", "family", "test"),
    [
        pytest.param("10.0.0.0/8", "ip", Intervals(((0x0A000000, 0x0AFFFFFF),)), id="prefix"),
        pytest.param("10.1.2.3/8", "ip", Intervals(((0x0A000000, 0x0AFFFFFF),)), id="host bits are ignored"),
        pytest.param("10.0.0.1", "ip", Intervals(((0x0A000001, 0x0A000001),)), id="one address"),
        pytest.param("10.0.0.1/32", "ip", Intervals(((0x0A000001, 0x0A000001),)), id="one address with its length"),
        pytest.param("172.16.0.0/255.240.0.0", "ip", Intervals(((0xAC100000, 0xAC1FFFFF),)), id="mask that is a prefix"),
        pytest.param("10.0.5.0/255.0.255.0", "ip", Masked(0xFF00FF00, 0x0A000500), id="mask that is none"),
        pytest.param("0.0.0.0/0", "ip", Intervals(((0, 0xFFFFFFFF),)), id="everything"),
        pytest.param("fd00::/8", "ip6", Intervals(((0xFD << 120, (0xFE << 120) - 1),)), id="IPv6"),
        pytest.param("::1", "ip6", Intervals(((1, 1),)), id="IPv6 address"),
        pytest.param("node.example", "ip", None, id="host name"),
        pytest.param("10/8", "ip", None, id="short form"),
        pytest.param("010.0.0.1", "ip", None, id="octal or decimal, nobody knows"),
        pytest.param("10.0.0.256", "ip", None, id="octet too large"),
        pytest.param("10.0.0.0/33", "ip", None, id="prefix too long"),
        pytest.param("::1", "ip", None, id="other family"),
        pytest.param("10.0.0.1", "ip6", None, id="IPv4 where IPv6 is meant"),
        pytest.param("fd00::g", "ip6", None, id="no IPv6 address"),
        pytest.param("fe80::1%eth0", "ip6", None, id="zone"),
    ],
)
def test_networks(text: str, family: str, test: object) -> None:
    assert parse_network(text, family) == test


def test_ranges_are_inclusive_and_the_right_way_round() -> None:
    assert parse_range("10.0.0.1-10.0.0.3", "ip") == Intervals(((0x0A000001, 0x0A000003),))
    assert parse_range("10.0.0.3-10.0.0.1", "ip") is None
    assert parse_address("1.2.3.4", "ip") == 0x01020304
