"""What every rule and policy has counted so far, straight from the kernel: no tool, no text, nothing of the project.

A ruleset's counters are asked for after every packet, which running a command or reading its output would be too slow for.
The shape is learned once per ruleset; from then on only the numbers at the known offsets are looked at.

Places are lists `[backend, family, table, chain, number]`, numbered from 1 as in listings; without a number, the policy.
"""

import ctypes
import os
import socket
import struct

_LIBC = ctypes.CDLL(None, use_errno=True)
_INFO, _ENTRIES = 64, 65  # IPT_SO_GET_INFO, IPT_SO_GET_ENTRIES: linux/netfilter_ipv4/ip_tables.h, the same in ip6_tables.h
_HOOKS = ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING")
# Socket family and level, and where in an entry are its target's offset, the next entry's, and its counters:
# struct ipt_entry and ip6t_entry of the same headers.
_LAYOUTS = {"ip": (socket.AF_INET, 0, 88, 90, 96), "ip6": (socket.AF_INET6, 41, 140, 142, 152)}
_TABLE_START = 40  # struct ipt_get_entries: a name of 32, the size, padding

_NETLINK_NETFILTER = 12
_REQUEST, _ACK, _DUMP = 1, 4, 0x300
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_NFTABLES = 10 << 8
_GET_CHAIN, _GET_RULE, _CT_DELETE = _NFTABLES | 4, _NFTABLES | 7, 1 << 8 | 2
_FAMILIES = {1: "inet", 2: "ip", 10: "ip6", 7: "bridge", 5: "netdev", 3: "arp"}


class LegacyTable:
    """One table of iptables-legacy."""

    def __init__(self, family, name):
        kind, self.level, self.target_at, self.next_at, self.counter_at = _LAYOUTS[family]
        self.socket = socket.socket(kind, socket.SOCK_RAW, socket.IPPROTO_RAW)
        self.name = name.encode()
        info = self._ask(_INFO, struct.pack("32s52x", self.name))
        words = struct.unpack_from("=13I", info, 32)
        self.valid, self.starts, self.policies, self.size = words[0], words[1:6], words[6:11], words[12]
        self.request = struct.pack("32sI4x", self.name, self.size) + bytes(self.size)
        self.places, self.offsets = self._learn(family, name)

    def close(self):
        self.socket.close()

    def numbers(self):
        """Packets counted, place by place."""
        table = self._ask(_ENTRIES, self.request)
        return [struct.unpack_from("=Q", table, offset)[0] for offset in self.offsets]

    def _learn(self, family, name):
        table = self._ask(_ENTRIES, self.request)
        hooks = [index for index in range(5) if self.valid >> index & 1]
        starts = {_TABLE_START + self.starts[index]: _HOOKS[index] for index in hooks}
        policies = {_TABLE_START + self.policies[index] for index in hooks}
        chains, chain, at = [], [], _TABLE_START
        while at < _TABLE_START + self.size:
            target = at + struct.unpack_from("=H", table, at + self.target_at)[0]
            if table[target + 2 :].startswith(b"ERROR\0"):  # the head of a user chain, which it names
                chain = [table[target + 32 :].split(b"\0")[0].decode(errors="surrogateescape")]
                chains.append(chain)
            else:
                if at in starts:
                    chain = [starts[at]]
                    chains.append(chain)
                chain.append(at)
            at += struct.unpack_from("=H", table, at + self.next_at)[0]
        places, offsets = [], []
        for head, *entries in chains:
            policy = entries[-1:] and entries[-1] in policies
            for number, entry in enumerate(entries, 1):
                if entry is not entries[-1] or policy:  # a user chain ends in a RETURN that no listing shows
                    places.append(["legacy", family, name, head, None if entry in policies else number])
                    offsets.append(entry + self.counter_at)
        return places, offsets

    def _ask(self, option, value):
        buffer, size = ctypes.create_string_buffer(value, len(value)), ctypes.c_uint32(len(value))
        if _LIBC.getsockopt(self.socket.fileno(), self.level, option, buffer, ctypes.byref(size)):
            raise OSError(ctypes.get_errno(), f"getsockopt {option}: {os.strerror(ctypes.get_errno())}")
        return buffer.raw


class NetlinkRules:
    """All of nf_tables: rules with a counter, and base chains that count at their policy."""

    def __init__(self):
        self.socket = open_netlink()
        self.places, self.shape = [], []
        for message in (_GET_CHAIN, _GET_RULE):
            dump = self._dump(message)
            offsets = list(self._chain_counters(dump) if message == _GET_CHAIN else self._rule_counters(dump))
            self.shape.append((message, len(dump), [offset for offset, _ in offsets]))
            self.places += [place for _, place in offsets]

    def close(self):
        self.socket.close()

    def numbers(self):
        """Packets counted, place by place. Raises `RuntimeError` when the ruleset is no longer the one that was learned."""
        found = []
        for message, size, offsets in self.shape:
            if offsets:
                dump = self._dump(message)
                if len(dump) != size:
                    raise RuntimeError("the ruleset changed under the test")
                found += [struct.unpack_from(">Q", dump, offset)[0] for offset in offsets]
        return found

    def _dump(self, message):
        self.socket.send(struct.pack("=IHHIIBBH", 20, message, _REQUEST | _DUMP, 1, 0, 0, 0, 0))
        parts = []
        while True:
            part = self.socket.recv(1 << 17)
            parts.append(part)
            size, kind = struct.unpack_from("=IH", part, len(part) - 20)
            if size == 20 and kind == _NLMSG_DONE:
                return b"".join(parts)

    def _chain_counters(self, dump):
        for family, start, end in _messages(dump):
            found = dict(_attributes(dump, start, end))
            if 8 in found:  # NFTA_CHAIN_COUNTERS
                counter = dict(_attributes(dump, *found[8]))
                yield counter[2][0], ["nft", family, _text(dump, found[1]), _text(dump, found[3]), None]

    def _rule_counters(self, dump):
        seen = {}
        for family, start, end in _messages(dump):
            found = dict(_attributes(dump, start, end))
            chain = family, _text(dump, found[1]), _text(dump, found[2])
            seen[chain] = seen.get(chain, 0) + 1
            for _, expression in _attributes(dump, *found[4]) if 4 in found else ():  # NFTA_RULE_EXPRESSIONS
                parts = dict(_attributes(dump, *expression))
                if _text(dump, parts[1]) == "counter":
                    yield dict(_attributes(dump, *parts[2]))[2][0], ["nft", *chain, seen[chain]]
                    break


def open_netlink():
    """A socket to netfilter's side of the kernel."""
    found = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_NETFILTER)
    found.bind((0, 0))
    return found


def forget_connections(netlink):
    """Empties this namespace's connection tracking, so that no packet belongs to an earlier one."""
    netlink.send(struct.pack("=IHHIIBBH", 20, _CT_DELETE, _REQUEST | _ACK, 2, 0, 0, 0, 0))
    _, kind, _, _, _, error = struct.unpack_from("=IHHIIi", netlink.recv(1 << 16))
    if kind != _NLMSG_ERROR or error:
        raise OSError(-error, f"flushing connections: {os.strerror(-error)}")


def _messages(dump):
    """(family, start, end) of each message's attributes."""
    at = 0
    while at < len(dump):
        size, kind = struct.unpack_from("=IH", dump, at)
        if kind != _NLMSG_DONE:
            yield _FAMILIES[dump[at + 16]], at + 20, at + size
        at += size + 3 & ~3


def _attributes(dump, start, end):
    """(type, (start, end)) of each attribute between two offsets."""
    while start < end:
        size, kind = struct.unpack_from("=HH", dump, start)
        yield kind & 0x3FFF, (start + 4, start + size)
        start += size + 3 & ~3


def _text(dump, span):
    return dump[span[0] : span[1]].rstrip(b"\0").decode(errors="surrogateescape")
