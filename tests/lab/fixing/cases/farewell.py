"""The broker is told to end, or dies, with a fix alive: C6, and C11 with a fix that was not verified yet."""

import os
import signal
import time
from collections.abc import Callable
from contextlib import redirect_stderr
from dataclasses import replace
from io import StringIO
from threading import Event

from agent.host import operations
from agent.host.fixing import farewell, lease
from agent.host.fixing.fixer import Fixer
from agent.host.fixing.journal import Journal
from agent.lab.topology import STATE_DIR
from agent.model.fix import Fix
from agent.model.settings import OnStop
from agent.model.twin import TwinRequest, TwinResult
from tests.lab.fixing import rig
from tests.lab.fixing.cases.setting import SHORT, refused
from tests.lab.staged import await_that


def _parted(fixer: Fixer, wish: OnStop, seconds: float = 20.0) -> tuple[str, float]:
    """What was said, and how long it took."""
    said, began = StringIO(), time.monotonic()
    with redirect_stderr(said):
        farewell.part(fixer, wish, seconds)
    return said.getvalue(), time.monotonic() - began


def _applied(backend: str, twin: Callable[[TwinRequest], TwinResult] = rig.said) -> tuple[Fixer, Fix]:
    fixer = rig.fixer(twin=twin)
    return fixer, fixer.apply(rig.order(fixer, backend))


def case_told_to_end_fixes_stay_where_they_are_to_be_kept(backend: str) -> None:
    fixer, fix = _applied(backend)
    before = rig.saved(backend)
    assert _parted(fixer, OnStop.KEEP)[0] == ""
    assert rig.rules_of(backend) == [line for line in before.splitlines() if line.startswith("-A")]
    (adopted,) = rig.fixer(twin=rig.said).sweep().fixes
    assert adopted == fix


def case_told_to_end_fixes_are_taken_out_where_that_is_asked(backend: str) -> None:
    pod, pristine = rig.Pod(), rig.rules_of(backend)
    fixer, fix = _applied(backend)
    fixer.confirm(operations.ConfirmArguments(_verified(fixer, fix).id, 3600, "test"))
    assert pod.gets_through()
    said, _ = _parted(fixer, OnStop.REVERT)
    assert said == f"kubereach: fix {fix.id} was taken out: kubereach was told to end\n"
    assert not pod.gets_through()
    assert (rig.rules_of(backend), lease.our_sets(), rig.state_of(fix)) == (pristine, (), "reverted")
    audit = (STATE_DIR / "audit.jsonl").read_text().splitlines()
    assert '"what": "reverted"' in audit[-1]
    assert '"who": "kubereach"' in audit[-1]
    assert fixer.audit().problem == ""
    with refused("lock-busy", "being ended"):
        fixer.apply(rig.order(fixer, backend))
    assert rig.ours(backend) == []


def case_told_to_end_what_only_we_would_end_is_taken_out_in_any_case(backend: str) -> None:
    def no_time(request: TwinRequest) -> TwinResult:
        known = rig.said(request)
        if request.insert is not None and "--datestop" in request.insert.spec:
            return replace(known, not_modelled=("the rule could not be inserted: no such match",))
        return known

    fixer = rig.fixer(twin=no_time, stays=True)
    real, lease.create_set = lease.create_set, lambda *_: False
    try:
        fix = fixer.apply(rig.order(fixer, backend, kind=rig.LeaseKind.AGENT))
    finally:
        lease.create_set = real
    assert (fix.set_name, "--datestop" in fix.rule) == ("", False)
    assert "was taken out" in _parted(fixer, OnStop.KEEP)[0]
    assert (rig.ours(backend), rig.state_of(fix)) == ([], "reverted")


def case_told_to_end_nothing_waits_for_what_cannot_be_taken_out(backend: str) -> None:
    fixer, fix = _applied(backend)
    holding, over = Event(), Event()

    def hold() -> None:
        with Journal(str(STATE_DIR)).held():
            holding.set()
            over.wait(30)

    holder = rig.in_background(hold)
    assert holding.wait(10)
    said, seconds = _parted(fixer, OnStop.REVERT, 0.5)
    over.set()
    holder.join()
    assert said == "kubereach: the fixes could not be looked after in time: those that are alive end by their leases\n"
    assert seconds < 5
    await_that(
        lambda: rig.state_of(fix) == "reverted", "who waited for the journal goes on meanwhile, as no process ended here"
    )


def case_a_broker_killed_before_a_fix_is_verified_leaves_it_to_its_trial(backend: str) -> None:
    pod, pristine = rig.Pod(), rig.rules_of(backend)
    reading, writing = os.pipe()

    def die() -> None:
        fixer = rig.fixer(twin=rig.said)
        fix = fixer.apply(rig.order(fixer, backend, SHORT))
        os.write(writing, f"{fix.id} {fix.ends}".encode())
        os.kill(os.getpid(), signal.SIGKILL)

    child = rig.forked(die)
    os.close(writing)
    fix_id, ends = os.read(reading, 100).decode().split()
    os.close(reading)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    successor = rig.fixer(twin=rig.said)
    (fix,) = successor.sweep().fixes
    assert (fix.id, str(fix.state), fix.live) == (fix_id, "applied", True)
    assert pod.gets_through()
    with refused("changed", "only one on trial"):
        successor.confirm(operations.ConfirmArguments(fix.id, 3600, "test"))
    rig.until(int(ends) + 1.1)
    assert not pod.gets_through()
    assert [str(item.state) for item in successor.sweep().fixes] == ["expired"]
    assert (rig.rules_of(backend), lease.our_sets()) == (pristine, ())


def _verified(fixer: Fixer, fix: Fix) -> Fix:
    return fixer.verified(operations.FixArguments(fix.id, "test", "a connect"))
