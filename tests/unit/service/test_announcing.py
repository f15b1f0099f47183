"""agent.service.announcing: each step of a fix is told once, in order, and nobody waits for it."""

from dataclasses import replace
from threading import Event, Thread

import pytest

from agent.cluster.connection import ClusterError
from agent.model.fix import Fix, Fixes, FixState
from agent.model.plan import Flow, Place
from agent.service.announcing import ALIVE, FIRST_BACKOFF, IDLE, LONGEST_BACKOFF, Announcer, transitions
from agent.service.host import HostError

NOW = 1769860800.0  # 2026-01-31T12:00:00Z
TRIAL = Fix(
    id="0123456789ab",
    state=FixState.TRIAL,
    flow=Flow(source="10.244.4.0/24", destination="172.31.16.124", port=10250),
    place=Place(backend="nft", chain="INPUT", before=""),
    rule="r",
    caller="root",
    ends=int(NOW) + 60,
    ends_at="2026-01-31T12:01:01Z",
)
CONFIRMED = replace(TRIAL, state=FixState.CONFIRMED, ends=int(NOW) + 3600, ends_at="2026-01-31T13:00:01Z")
EXPIRED = replace(CONFIRMED, state=FixState.EXPIRED, why="its time was up")


class Clock:
    seconds = 100.0

    def now(self):
        return "2026-01-31T12:00:00.000Z"

    def monotonic(self):
        return self.seconds

    def new_id(self):
        return "id"


class Stage:
    def __init__(self, *fixes):
        self.fixes, self.told, self.error, self.clock = fixes, [], None, Clock()
        self.announcer = Announcer(self.tell, self.look, self.clock)

    def tell(self, transition):
        if isinstance(self.error, ClusterError):
            raise self.error
        self.told.append(transition.reason)

    def look(self):
        if isinstance(self.error, HostError):
            raise self.error
        return Fixes(fixes=self.fixes)

    def later(self, seconds, *fixes):
        self.clock.seconds += seconds
        self.fixes = fixes
        return self.announcer.step()


def test_each_step_of_a_life_is_told_once_and_in_order():
    stage = Stage()
    assert stage.announcer.step() == IDLE
    for fix in (TRIAL, CONFIRMED):
        stage.announcer.note(fix)
        stage.announcer.step()
    assert stage.later(IDLE, CONFIRMED) == ALIVE
    stage.later(ALIVE, EXPIRED)
    stage.later(IDLE, EXPIRED)
    assert stage.told == ["FixApplied", "FixConfirmed", "FixExpired"]


def test_what_is_confirmed_again_is_told_again():
    stage = Stage()
    for fix in (CONFIRMED, CONFIRMED, replace(CONFIRMED, ends=CONFIRMED.ends + 600)):
        stage.announcer.note(fix)
        stage.announcer.step()
    assert stage.told == ["FixApplied", "FixConfirmed", "FixConfirmed"]


def test_one_that_a_command_made_is_seen_by_looking():
    stage = Stage()
    stage.announcer.step()
    stage.later(IDLE, TRIAL)
    assert stage.told == ["FixApplied"]


def test_a_rule_that_was_put_back_and_then_given_up_is_clobbered_each_time():
    again = replace(TRIAL, puts=1)
    stage = Stage(TRIAL)
    stage.announcer.step()
    stage.later(ALIVE, again)
    stage.later(ALIVE, replace(again, state=FixState.CLOBBERED, why="it was taken out"))
    assert stage.told == ["FixApplied", "FixClobbered", "FixClobbered"]


@pytest.mark.parametrize(
    ("state", "reason", "warning"),
    [
        (FixState.EXPIRED, "FixExpired", False),
        (FixState.REVERTED, "FixReverted", False),
        (FixState.LOST_ON_REBOOT, "FixLostOnReboot", False),
        (FixState.CLOBBERED, "FixClobbered", True),
        (FixState.FAILED, "FixFailed", True),
    ],
)
def test_each_end_has_its_reason_and_says_why(state, reason, warning):
    (told,) = transitions(replace(TRIAL, state=state, why="because"))
    assert (told.reason, told.warning) == (reason, warning)
    assert "because" in told.message
    assert "10.244.4.0/24 to 172.31.16.124:10250" in told.message


@pytest.mark.parametrize("state", [FixState.INTENT, FixState.APPLIED])
def test_what_no_connect_has_tried_is_not_told(state):
    assert not list(transitions(replace(TRIAL, state=state)))


def test_every_state_is_an_end_or_is_alive():
    ends = [state for state in FixState if not replace(TRIAL, state=state).live]
    assert all(list(transitions(replace(TRIAL, state=state))) for state in ends)


def test_ends_from_long_before_the_start_are_not_told():
    old = replace(EXPIRED, ends=int(NOW) - 1801)
    stage = Stage(replace(EXPIRED, id="aaaaaaaaaaaa"), old)
    stage.announcer.step()
    assert stage.told == ["FixExpired"]


def test_a_cluster_that_refuses_is_asked_again_later_and_hears_everything():
    stage = Stage()
    stage.error = ClusterError("down", 503)
    stage.announcer.note(TRIAL)
    assert stage.announcer.step() == FIRST_BACKOFF
    stage.announcer.note(replace(TRIAL, state=FixState.REVERTED))
    stage.error = None
    assert stage.later(1.0) > 0
    assert stage.told == []
    stage.later(FIRST_BACKOFF)
    assert stage.told == ["FixApplied", "FixReverted"]


def test_its_patience_grows_to_a_limit_and_the_servers_own_word_counts():
    stage = Stage()
    stage.announcer.note(TRIAL)
    stage.error = ClusterError("down", 503)
    for _ in range(20):
        stage.announcer.step()
        stage.clock.seconds = max(stage.clock.seconds, stage.announcer._quiet_until)
    assert stage.announcer._quiet_until - stage.clock.seconds <= LONGEST_BACKOFF
    stage.error = ClusterError("slow down", 429, 900.0)
    stage.announcer.step()
    assert stage.announcer._quiet_until - stage.clock.seconds == 900.0


def test_a_node_that_cannot_be_read_is_looked_at_again():
    stage = Stage()
    stage.error = HostError("no")
    assert stage.announcer.step() == IDLE
    stage.error = None
    stage.later(IDLE, TRIAL)
    assert stage.told == ["FixApplied"]


def test_who_hands_over_a_fix_does_not_wait_for_a_cluster_that_hangs():
    release, reached, ended = Event(), Event(), Event()

    def hang(_):
        reached.set()
        release.wait(30)

    announcer = Announcer(hang, lambda: Fixes(fixes=()), Clock())
    thread = Thread(target=announcer.run, args=(ended,), daemon=True)
    thread.start()
    announcer.note(TRIAL)
    assert reached.wait(30)
    for number in range(1000):  # while it hangs
        announcer.note(replace(TRIAL, id=f"{number:012x}"))
    assert not release.is_set()
    ended.set()
    release.set()
    thread.join(30)
    assert not thread.is_alive()
