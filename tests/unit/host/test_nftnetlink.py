import struct
from collections.abc import Iterator

import pytest

from agent.host import nftnetlink
from agent.host.nftnetlink import _chain, _glance, _table

NFPROTO = {"inet": 1, "ip": 2, "netdev": 5, "bridge": 7}
GETTABLE, GETCHAIN = 0xA01, 0xA04
INTERRUPTED = 0x10


def attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def number(value: int, size: int = 4) -> bytes:
    return value.to_bytes(size, "big", signed=value < 0)


def family(name: str) -> bytes:
    return struct.pack(">BBH", NFPROTO[name], 0, 0)


def table(name: str, of: str = "ip", handle: int = 3, flags: int = 0) -> bytes:
    return family(of) + attribute(1, name.encode() + b"\0") + attribute(2, number(flags)) + attribute(4, number(handle, 8))


def chain(name: str, of: str = "ip", hook: int | None = None, priority: int = 0, policy: int = 1, use: int = 5) -> bytes:
    nested = b"" if hook is None else attribute(1, number(hook)) + attribute(2, number(priority))
    hung = b"" if hook is None else attribute(0x8000 | 4, nested) + attribute(5, number(policy)) + attribute(7, b"filter\0")
    named = attribute(1, b"t\0") + attribute(2, number(9, 8)) + attribute(3, name.encode("utf-8", "surrogateescape") + b"\0")
    return family(of) + named + hung + attribute(6, number(use))


def test_a_table_with_its_handle_and_flags() -> None:
    found = _table(table("filter", flags=1))
    assert (found.family, found.name, found.handle, found.flags) == ("ip", "filter", 3, 1)


def test_a_base_chain_and_a_user_chain() -> None:
    found = _chain("ip", nftnetlink._attributes(chain("in\udcff", hook=1, priority=-150, policy=0)))
    assert (found.name, found.hook, found.priority, found.policy, found.kind) == ("in\udcff", 1, -150, 0, "filter")
    assert _chain("ip", nftnetlink._attributes(chain("user"))).hook is None
    assert _glance(chain("x", hook=2, use=7)) == (True, 7)
    assert _glance(chain("x", use=8)) == (False, 8)
    assert _glance(family("ip") + attribute(1, b"t\0")) == (False, 0)


class Kernel:
    """Answers in place of the kernel; the generation rises after each of the first `changes` dumps of chains."""

    def __init__(self, *chains: bytes, changes: int = 0, interrupted: int = 0) -> None:
        self.chains, self.changes, self.interrupted, self.now = chains, changes, interrupted, 4

    def ask(self, question: int, _flags: int) -> Iterator[tuple[int, bytes]]:
        if question == GETTABLE:
            yield 0, table("t")
        elif question == GETCHAIN:
            flags = INTERRUPTED if self.interrupted else 0
            self.interrupted -= bool(self.interrupted)
            yield from ((flags, each) for each in self.chains)
            self.now += bool(self.changes)
            self.changes -= bool(self.changes)
        else:
            yield 0, family("ip") + attribute(1, number(self.now))


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> Iterator[nftnetlink.Reader]:
    with nftnetlink.Reader() as found:
        yield found


def outline(kernel: Kernel, reader: nftnetlink.Reader, monkeypatch: pytest.MonkeyPatch) -> nftnetlink.Outline:
    monkeypatch.setattr(nftnetlink.Reader, "_ask", lambda _, *given: kernel.ask(*given))
    return reader.outline()


def test_the_outline_has_base_chains_and_counts_the_rest(reader: nftnetlink.Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    found = outline(Kernel(chain("INPUT", hook=1), chain("user"), chain("other", of="inet")), reader, monkeypatch)
    assert [each.name for each in found.chains] == ["INPUT"]
    assert (found.generation, found.chains_in_all, found.rules, len(found.tables)) == (4, 3, 15, 1)


@pytest.mark.parametrize(("of", "hook"), [("bridge", 0), ("netdev", 0), ("inet", 5)])
def test_tables_that_see_frames_are_there_with_all_their_chains(
    of: str, hook: int, reader: nftnetlink.Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = outline(Kernel(chain("low", of=of, hook=hook), chain("user", of=of), chain("mine")), reader, monkeypatch)
    assert [each.name for each in found.chains] == ["low", "user"]


def test_a_dump_that_was_disturbed_is_made_again(reader: nftnetlink.Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    assert outline(Kernel(chain("INPUT", hook=1), changes=2), reader, monkeypatch).generation == 6
    assert outline(Kernel(chain("INPUT", hook=1), interrupted=2), reader, monkeypatch).generation == 4
    with pytest.raises(OSError, match="changed during each of"):
        outline(Kernel(chain("INPUT", hook=1), changes=99), reader, monkeypatch)
