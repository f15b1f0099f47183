"""agent.host.room: what is promised, what is refused, and to whom room is made."""

import os
from dataclasses import dataclass

import pytest

from agent.host import room
from agent.host.memory_limit import Left
from agent.host.room import MIB, Claim, NoRoomError, Room

RESERVE = room._RESERVE


@dataclass
class Limit:
    """80 MiB, of which some are left: `left` MiB above what is never promised."""

    room: float | None

    def left(self):
        return None if self.room is None else Left(int(self.room * MIB) + RESERVE, 80 * MIB)


@pytest.fixture(autouse=True)
def hasty(monkeypatch):
    monkeypatch.setattr(room, "_GLANCE", 0.0)


def test_without_a_limit_nothing_is_refused():
    asked = Room(Limit(None))
    assert [asked.claim(1000 * MIB).size for _ in range(3)] == [1000 * MIB] * 3


def test_what_was_promised_is_not_promised_twice():
    asked = Room(Limit(20))
    first = asked.claim(15 * MIB)
    with pytest.raises(NoRoomError, match=r"it takes 6 MiB, and of our memory limit of 80 MiB 5 are left"):
        asked.claim(6 * MIB, wait=False)
    assert asked.claim(5 * MIB).size == 5 * MIB
    asked.release(first)
    assert asked.claim(15 * MIB).size == 15 * MIB


def test_what_a_process_has_taken_is_counted_once():
    """By the kernel: this one has some MiB, which the limit's own count has already."""
    asked = Room(Limit(20))
    asked.claim(15 * MIB).pid = os.getpid()
    taken = min(15 * MIB, Claim(15 * MIB, os.getpid()).taken)
    assert taken > 5 * MIB
    assert asked.claim(5 * MIB + taken // 2, wait=False).size > 5 * MIB


def test_a_part_is_enough_where_it_is_said():
    asked = Room(Limit(10))
    with asked.claimed(16 * MIB, 6 * MIB) as claim:
        assert claim.size == 10 * MIB
        with pytest.raises(NoRoomError, match="6 MiB"):
            asked.claim(16 * MIB, 6 * MIB, wait=False)
    assert asked.claim(16 * MIB, 6 * MIB).size == 10 * MIB


def test_what_never_fits_is_refused_at_once(monkeypatch):
    monkeypatch.setattr(room.time, "sleep", lambda _: pytest.fail("it waited"))
    with pytest.raises(NoRoomError):
        Room(Limit(10)).claim(11 * MIB)


def test_others_are_asked_to_make_room():
    asked = Room(Limit(20))
    held = [asked.claim(15 * MIB)]
    asked.when_short(lambda: asked.release(held.pop()) if held else None)
    assert asked.claim(15 * MIB).size == 15 * MIB


def test_who_returns_nothing_is_waited_for_no_longer_than_said(monkeypatch):
    monkeypatch.setattr(room, "_PATIENCE", 0.0)
    asked = Room(Limit(20))
    asked.claim(15 * MIB)
    with pytest.raises(NoRoomError):
        asked.claim(15 * MIB)


def test_of_a_process_that_is_gone_nothing_is_taken():
    assert Claim(MIB).taken == 0
    assert Claim(MIB, 2**22 + 1).taken == 0
