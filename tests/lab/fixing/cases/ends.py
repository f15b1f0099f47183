"""What ends a fix: the kernel by clock or set, a boot, a reload; and what is not ours to end."""

import time
from dataclasses import replace

from agent.host.fixing import lease, sweep
from tests.lab.fixing import rig
from tests.lab.fixing.cases.setting import SHORT, count, refused, rules_alone


def case_another_boot_ends_it(backend: str) -> None:
    fixer = rig.fixer(twin=rig.said)
    fix = fixer.apply(rig.order(fixer, backend))
    real, lease.boot_id = lease.boot_id, lambda: "another"
    try:
        fixer.sweep()
    finally:
        lease.boot_id = real
    assert rig.state_of(fix) == "lost-on-reboot"
    assert rig.ours(backend) == []


def case_a_clock_that_is_set_ends_it(backend: str) -> None:
    for seconds in (-86400, 86400, -10):
        fixer = rig.fixer(twin=rig.said)
        fix = fixer.apply(rig.order(fixer, backend))
        real = lease.now
        lease.now = lambda seconds=seconds, real=real: replace(real(), wall=real().wall + seconds)
        try:
            fixer.sweep()
        finally:
            lease.now = real
        assert rig.state_of(fix) == ("expired" if seconds > 60 else "reverted"), rig.state_of(fix)
        assert rig.ours(backend) == []


def case_the_set_ends_it_where_the_clock_does_not(backend: str) -> None:
    """A stop time in the far future, as after a clock was set back: the set's element is gone all the same."""
    pod, fixer = rig.Pod(), rig.fixer(twin=rig.said)
    real, lease.stop_after = lease.stop_after, lambda moment, _seconds: int(moment.wall) + 7200
    try:
        fixer.apply(rig.order(fixer, backend, SHORT))
    finally:
        lease.stop_after = real
    assert pod.gets_through()
    rig.until(time.time() + SHORT + 1.2)
    assert not pod.gets_through()


def case_without_ipset_the_stop_time_ends_it(backend: str) -> None:
    pod, fixer = rig.Pod(), rig.fixer(twin=rig.said)
    real, lease.create_set = lease.create_set, lambda *_: False
    try:
        fix = fixer.apply(rig.order(fixer, backend, SHORT))
    finally:
        lease.create_set = real
    assert fix.set_name == ""
    assert pod.gets_through()
    rig.until(fix.ends + 1.1)
    assert not pod.gets_through()


def case_a_kernel_with_neither_is_refused(backend: str) -> None:
    def no_time(request: object) -> object:
        insert = request.insert  # type: ignore[attr-defined]
        if insert is not None and "--datestop" in insert.spec:
            return replace(rig.said(request), not_modelled=("the rule could not be inserted: no such match",))  # type: ignore[arg-type]
        return rig.said(request)  # type: ignore[arg-type]

    fixer = rig.fixer(twin=no_time)  # type: ignore[arg-type]
    real, lease.create_set = lease.create_set, lambda *_: False
    try:
        with refused("no-lease", "xt_time"):
            fixer.apply(rig.order(fixer, backend))
        with refused("no-lease", "stays"):  # this one does not
            fixer.apply(rig.order(fixer, backend, kind=rig.LeaseKind.AGENT))
    finally:
        lease.create_set = real
    assert rig.ours(backend) == []


def case_a_humans_rule_is_never_taken_out(backend: str) -> None:
    mine = ("-s", rig.FLOW.source, "-d", rig.NODE_ADDRESS, "-p", "tcp", "--dport", "10251", "-j", "ACCEPT")
    rig.iptables(backend, "-I", "INPUT", "1", *mine)
    rig.iptables(backend, "-I", "INPUT", "1", "-m", "comment", "--comment", "kubereach", *mine)
    rig.iptables(backend, "-I", "INPUT", "1", "-m", "comment", "--comment", "kubereach:0123456789ab", *mine)
    before = rig.rules_of(backend)
    fixer = rig.fixer(twin=rig.said)
    fix = fixer.apply(rig.order(fixer, backend, 1))
    rig.until(fix.ends + 1.1)
    fixer.sweep()
    assert rig.rules_of(backend) == before


def case_where_a_human_opened_it_nothing_is_added_and_theirs_stays(backend: str) -> None:
    """The same rule without our name: before ours there is nothing to open, and beside ours it outlives it."""
    theirs = ("-s", rig.FLOW.source, "-d", rig.NODE_ADDRESS, "-p", "tcp", "--dport", "10250", "-j", "ACCEPT")
    rig.iptables(backend, "-I", "INPUT", "1", *theirs)
    opened, fixer = rig.rules_of(backend), rig.fixer()
    with refused("guard", "nothing to open"):
        fixer.apply(rig.order(fixer, backend))
    assert rig.rules_of(backend) == opened
    rig.iptables(backend, "-D", "INPUT", "1")
    fixer = rig.fixer(twin=rig.said)
    fix = fixer.apply(rig.order(fixer, backend, 1))
    rig.iptables(backend, "-I", "INPUT", "1", *theirs)
    rig.until(fix.ends + 1.1)
    fixer.sweep()
    assert rig.rules_of(backend) == opened


def case_a_restored_copy_is_dead_and_swept(backend: str) -> None:
    pod, fixer = rig.Pod(), rig.fixer(twin=rig.said)
    pristine = rig.saved(backend)
    fix = fixer.apply(rig.order(fixer, backend, 1))
    copy = rig.saved(backend).replace(f" -m set --match-set {fix.set_name} src", "")
    rig.until(fix.ends + 1.1)
    fixer.sweep()
    rig.restore(backend, copy)
    assert len(rig.ours(backend)) == 1
    assert not pod.gets_through()
    fixer.sweep()
    assert rules_alone(rig.saved(backend)) == rules_alone(pristine)


def case_a_reload_is_noticed_and_put_back_three_times_where_asked(backend: str) -> None:
    pristine = rig.saved(backend)
    for put_back in [False] * count(1, 20) + [True]:
        fixer = rig.fixer(twin=rig.said)
        fix = fixer.apply(rig.order(fixer, backend, put_back=put_back))
        for number in range(sweep.MOST_PUTS + 1 if put_back else 1):
            rig.restore(backend, pristine)
            fixer.sweep()
            assert len(rig.ours(backend)) == (1 if put_back and number < sweep.MOST_PUTS else 0), number
        assert rig.state_of(fix) == "clobbered"


def case_the_watch_notices_within_two_seconds(backend: str) -> None:
    fixer, pristine = rig.fixer(twin=rig.said), rig.saved(backend)
    rig.in_background(fixer.watch)
    fix = fixer.apply(rig.order(fixer, backend))
    time.sleep(1.5)  # it is at work
    for _ in range(1):
        rig.restore(backend, pristine)
        time.sleep(4)  # two on an idle machine
        assert rig.state_of(fix) == "clobbered"
