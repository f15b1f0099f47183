"""agent.host.lookups: rtnetlink's messages, made by hand."""

import socket
import struct

from agent.host.lookups import _filter, _link, _neighbour, _qdisc, _rule
from agent.model.evidence import Program


def attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def test_a_link_with_its_cables_other_end_and_an_xdp_program() -> None:
    xdp = attribute(2, b"\1") + attribute(4, struct.pack("=I", 17))
    payload = struct.pack("=BxHiII", 0, 1, 7, 1, 0) + attribute(3, b"veth1\0") + attribute(4, struct.pack("=I", 1400))
    payload += attribute(5, struct.pack("=I", 2)) + attribute(10, struct.pack("=I", 3)) + attribute(43, xdp)
    link = _link(payload)
    assert (link.index, link.name, link.mtu, link.peer, link.master, link.xdp) == (7, "veth1", 1400, 2, 3, 17)


def test_a_link_without_an_xdp_program_says_so_although_the_attribute_is_there() -> None:
    payload = struct.pack("=BxHiII", 0, 1, 7, 1, 0) + attribute(3, b"veth1\0") + attribute(43, attribute(2, b"\0"))
    assert _link(payload).xdp is None


def test_a_policy_rule_with_its_selectors() -> None:
    payload = struct.pack("=BBBBBBBBI", socket.AF_INET, 16, 32, 0, 252, 0, 0, 1, 0)
    payload += attribute(6, struct.pack("=I", 100)) + attribute(15, struct.pack("=I", 1000))
    payload += attribute(2, bytes([192, 0, 2, 1])) + attribute(1, bytes([10, 9, 0, 0])) + attribute(10, struct.pack("=I", 5))
    rule = _rule(payload)
    assert (rule.priority, rule.table, rule.source, rule.target) == (100, 1000, "192.0.2.1/32", "10.9.0.0/16")
    assert (rule.mark, rule.action) == (5, "lookup")


def test_a_neighbours_state_is_named_and_other_families_are_left_out() -> None:
    body = attribute(1, bytes([10, 9, 1, 5]))
    assert [
        found.state
        if (found := _neighbour(struct.pack("=BxxxiHBB", socket.AF_INET, 3, state, 0, 1) + body, "pod", {3: "e"}))
        else ""
        for state in (1, 2, 0x20, 0x80, 3)
    ] == ["INCOMPLETE", "REACHABLE", "FAILED", "PERMANENT", "state 3"]
    assert _neighbour(struct.pack("=BxxxiHBB", 7, 3, 2, 0, 1) + body, "pod", {}) is None


def test_what_a_qdisc_threw_away() -> None:
    queue = struct.pack("=IIIII", 0, 0, 42, 0, 0)
    payload = struct.pack("=BxxxiIII", 0, 5, 0, 0, 0) + attribute(1, b"clsact\0") + attribute(7, attribute(3, queue))
    found = _qdisc(payload)
    assert (found.index, found.kind, found.drops) == (5, "clsact", 42)


def test_a_filter_is_named_by_its_program_or_its_kind_and_a_chains_head_is_none() -> None:
    base = Program(hook="tc ingress", where="veth1")
    head = struct.pack("=BxxxiIII", 0, 5, 0, 0, 0)
    options = attribute(7, b"from-container\0") + attribute(11, struct.pack("=I", 9))
    (bpf,) = _filter(head + attribute(1, b"bpf\0") + attribute(2, options), base)
    assert (bpf.name, bpf.number, bpf.hook, bpf.where) == ("from-container", 9, "tc ingress", "veth1")
    (other,) = _filter(head + attribute(1, b"flower\0") + attribute(2, attribute(1, b"\0\0\0\0")), base)
    assert (other.name, other.number) == ("flower", None)
    assert list(_filter(head + attribute(1, b"bpf\0"), base)) == []
