"""Large legacy tables are read where they fit under the memory limit, and else said to be unread, with what would help."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from agent.host import command, firewall, legacy_room, nftnetlink
from agent.host.fixing import snapshot
from agent.host.memory_limit import Left
from agent.host.room import MIB, Room
from agent.model.capture import LEGACY_SAVE, LEGACY_SAVE6, NFT_JSON, Firewall
from agent.model.outline import Outline


@dataclass
class Limit:
    """A limit of 256 MiB of which 100 are left, beside those that are never promised."""

    def left(self) -> Left:
        return Left(108 * MIB, 256 * MIB)


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], list[str]]:
    """A node with legacy tables of both IP versions, each of so many MiB; returns what is run on it."""

    def make(size: int) -> list[str]:
        ran: list[str] = []

        def run(argv: tuple[str, ...], stdin: bytes = b"", timeout: float = 0) -> command.Completed:
            ran.append(argv[0])
            return command.Completed(argv=argv, status=0, stdout=b'{"nftables": []}' if argv[0] == "nft" else b"*nat\nCOMMIT\n")

        def denied() -> nftnetlink.Reader:
            raise PermissionError

        lists = {"ip": tmp_path / "ip_tables_names", "ip6": tmp_path / "ip6_tables_names"}
        for each in lists.values():
            each.write_text("nat\n")
        monkeypatch.setattr(firewall, "_LISTS", lists)
        monkeypatch.setattr(nftnetlink, "Reader", denied)
        monkeypatch.setattr(command, "run", run)
        monkeypatch.setattr(command, "find", lambda name: f"/sbin/{name}")
        monkeypatch.setattr(snapshot, "legacy_size", lambda version, table: size * MIB // 2)
        return ran

    return make


READS: tuple[tuple[Callable[[Room], Firewall], int], ...] = (
    (firewall.survey, legacy_room.LOOK),
    (firewall.capture, legacy_room.LOOK),
    (lambda room: firewall.capture(room, again=True), legacy_room.AGAIN),
    (lambda room: firewall.frame(Outline(generation=1), room), legacy_room.AGAIN),
)


@pytest.mark.parametrize(("read", "share"), READS, ids=["survey", "capture", "capture again", "frame"])
def test_what_fits_is_read_and_what_does_not_is_left(
    node: Callable[[int], list[str]], read: Callable[[Room], Firewall], share: int
) -> None:
    fits = 100 // share
    room = Room(Limit())
    ran = node(fits)
    found = read(room)
    assert [reading.status for reading in found.readings if reading.name != NFT_JSON] == [0, 0]
    assert found.problems == ()
    assert {"iptables-legacy-save", "ip6tables-legacy-save"} <= set(ran)
    ran = node(fits + 1)
    found = read(room)
    assert not any("legacy" in program for program in ran)
    assert [reading.name for reading in found.readings if reading.status is None] == [LEGACY_SAVE, LEGACY_SAVE6]
    assert found.legacy_tables == ("nat",)
    for problem, program in zip(found.problems, ("iptables-legacy-save", "ip6tables-legacy-save"), strict=True):
        assert problem.why.startswith(f"{program} was not started: there is no room for it: it takes ")
        assert problem.why.endswith("of our memory limit of 256 MiB 100 are left")
        assert problem.remedy == "raise the memory limit of the agent's container"
    assert room.claim(100 * MIB, wait=False).size == 100 * MIB  # nothing stays promised


@pytest.mark.parametrize("room", [None, Room(Limit())], ids=["without a room", "few rules"])
def test_where_nobody_counts_or_there_is_little_nothing_is_asked(node: Callable[[int], list[str]], room: Room | None) -> None:
    node(1000 if room is None else 1)  # a look at one MiB takes six
    taken = room and room.claim(100 * MIB)
    assert not firewall.survey(room).problems
    assert taken is None or taken.size == 100 * MIB


def test_a_size_that_is_not_told_is_left_to_the_tool(node: Callable[[int], list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    node(1000)

    def refused(version: int, table: str) -> int:
        raise PermissionError

    monkeypatch.setattr(snapshot, "legacy_size", refused)
    assert not firewall.survey(Room(Limit())).problems
