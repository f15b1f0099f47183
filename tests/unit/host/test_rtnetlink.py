import socket
import struct

import pytest

from agent.host import rtnetlink
from agent.host.rtnetlink import _address, _attributes, _link, _routes


def attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def test_the_loopback_is_read_from_the_kernel() -> None:
    with rtnetlink.Reader() as reader:
        interfaces = reader.interfaces()
        reader.routes(interfaces)
    assert interfaces[0].name == "lo"


def test_in_a_namespace_that_is_being_made_no_address_is_seen_without_the_links_before_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def link(index: int, name: bytes) -> bytes:
        return struct.pack("=BxHiII", 0, 1, index, 0x1, 0) + attribute(3, name)

    address = struct.pack("=BBBBi", socket.AF_INET, 24, 0, 0, 2) + attribute(1, bytes([10, 244, 4, 1]))
    # Between two questions all the rest was made: the mark, then the address.
    moments = iter([([link(2, b"cni0\0")], []), ([link(2, b"cni0\0"), link(3, b"kubereach-twin\0")], [address])])

    def dump(_: rtnetlink.Reader, question: int) -> list[bytes]:
        links, addresses = next(moments)
        return links if question == rtnetlink._GETLINK else addresses

    monkeypatch.setattr(rtnetlink.Reader, "_dump", dump)
    with rtnetlink.Reader() as reader:
        found = reader.interfaces()
    assert not any(each.addresses for each in found) or {each.name for each in found} == {"cni0", "kubereach-twin"}


def test_a_link_with_kind_and_master() -> None:
    header = struct.pack("=BxHiII", 0, 1, 7, 0x1, 0)
    kind = attribute(18, attribute(1, b"veth\0"))
    payload = header + attribute(3, b"cali\xff\0") + attribute(10, struct.pack("=I", 3)) + kind
    link, master = _link(payload)
    assert (link.index, link.name, link.kind, link.up, master) == (7, "cali\udcff", "veth", True, 3)


def test_an_address_prefers_our_end_of_a_point_to_point_link() -> None:
    header = struct.pack("=BBBBi", socket.AF_INET, 32, 0, 0, 4)
    both = attribute(1, bytes([10, 0, 0, 2])) + attribute(2, bytes([10, 0, 0, 1]))
    assert _address(header + both) == (4, "10.0.0.1/32")
    assert _address(struct.pack("=BBBBi", 28, 0, 0, 0, 4)) is None


def route(*attributes: bytes, family: int = socket.AF_INET, length: int = 24, table: int = 254, kind: int = 1) -> bytes:
    return struct.pack("=BBBBBBBBI", family, length, 0, 0, table, 0, 0, kind, 0) + b"".join(attributes)


def test_a_route_by_two_ways_is_two_routes() -> None:
    hops = b"".join(struct.pack("=HBBi", 16, 0, 0, index) + attribute(5, bytes([10, 0, 0, index])) for index in (1, 2))
    found = list(_routes(route(attribute(9, hops), length=0), {1: "eth0", 2: "eth1"}))
    assert [(item.destination, item.interface, item.gateway) for item in found] == [
        ("0.0.0.0/0", "eth0", "10.0.0.1"),
        ("0.0.0.0/0", "eth1", "10.0.0.2"),
    ]


def test_a_gateway_of_the_other_family() -> None:
    via = struct.pack("=H", socket.AF_INET6) + bytes.fromhex("fe80") + bytes(13) + b"\1"
    (found,) = _routes(
        route(attribute(1, bytes([10, 0, 0, 0])), attribute(4, struct.pack("=I", 2)), attribute(18, via)), {2: "e"}
    )
    assert (found.destination, found.interface, found.gateway) == ("10.0.0.0/24", "e", "fe80::1")


@pytest.mark.parametrize(("kind", "word"), [(6, "blackhole"), (7, "unreachable"), (8, "prohibit"), (77, "type 77")])
def test_routes_that_lead_nowhere_are_named(kind: int, word: str) -> None:
    (found,) = _routes(route(attribute(1, bytes([10, 0, 0, 0])), kind=kind), {})
    assert (found.kind, found.interface) == (word, "")


def test_other_tables_are_left_out() -> None:
    assert list(_routes(route(table=255), {})) == []
    assert list(_routes(route(attribute(15, struct.pack("=I", 1000)), table=0), {})) == []


@pytest.mark.parametrize("data", [b"", b"\1", b"\3\0\1\0", b"\xff\xff\1\0ab", b"\0\0\0\0"])
def test_attributes_that_are_cut_or_false_are_not_followed(data: bytes) -> None:
    assert _attributes(data) == {}
