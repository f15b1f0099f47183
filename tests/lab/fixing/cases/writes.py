"""Other programs that write at the same time, and their lock."""

import fcntl
import os
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from agent.cli import live
from agent.host.fixing import lease, lock, snapshot, tool
from agent.host.probe import probe
from agent.model.probe import ProbeRequest, ProbeResult
from agent.model.settings import Settings
from agent.service.collect import collect
from agent.service.fixes import Fixing
from tests.lab.fixing import rig
from tests.lab.fixing.cases.setting import by, count, refused

# Seconds that iptables' lock may be held beside what a commit takes iptables and the kernel.
LONGEST = 0.05


def case_a_change_after_the_plan_is_a_conflict(backend: str) -> None:
    fixer, rule = rig.fixer(twin=rig.said), ("-p", "tcp", "--dport", "80", "-j", "ACCEPT")
    for number in range(count(4, 1000)):
        made = rig.order(fixer, backend)
        rig.iptables(backend, *(("-D", "INPUT") if number % 2 else ("-I", "INPUT", "2")), *rule)
        before = rig.rules_of(backend)
        with refused("changed"):
            fixer.apply(made)
        assert rig.rules_of(backend) == before


def case_a_change_elsewhere_is_none(backend: str) -> None:
    fixer = rig.fixer(twin=rig.said)
    made = rig.order(fixer, backend)
    rig.iptables(backend, "-I", "FORWARD", "-p", "tcp", "--dport", "80", "-j", "ACCEPT")
    subprocess.run(["nft", "add", "table", "ip", "unrelated"], check=True)
    assert fixer.apply(made).state == "applied"


def case_a_table_that_grows_and_shrinks_all_the_time_is_read(backend: str) -> None:
    """Its size is asked for first, and the kernel hands out nothing where that is not its size any more."""
    if backend == "nft":
        return
    rule = "FORWARD -p tcp --dport 80 -j ACCEPT"
    loop = f"while :; do {rig.IPTABLES}-{backend} -w -A {rule}; {rig.IPTABLES}-{backend} -w -D {rule}; done"
    with subprocess.Popen(["sh", "-c", loop]) as growing:
        try:
            sizes = {len(snapshot.legacy(rig.VERSION).data) for _ in range(20000)}
        finally:
            growing.kill()
    assert len(sizes) == 2, sizes


def case_a_flapping_table_does_not_stop_it(backend: str) -> None:
    fixer = rig.fixer(twin=rig.said)
    made = rig.order(fixer, backend)
    with subprocess.Popen(["sh", "-c", "while :; do nft add table ip flap; nft delete table ip flap; done"]) as flapping:
        try:
            assert fixer.apply(made).state == "applied"
        finally:
            flapping.kill()
    assert len(rig.ours(backend)) == 1


def case_a_drop_before_the_connect_takes_it_out_again(backend: str) -> None:
    """Somebody's rule stands above ours before it is tried: out with ours, and the answer names theirs."""
    before, drop = rig.rules_of(backend), ("-p", "tcp", "-m", "tcp", "--dport", "10250", "-j", "DROP")

    def late(request: ProbeRequest, sock: socket.socket, settings: Settings) -> ProbeResult:
        rig.iptables(backend, "-I", "INPUT", "1", *drop)
        return probe(request, sock, settings)

    host = live.attach(rig.SETTINGS)
    try:
        fixing = Fixing(host, rig.SETTINGS, live.CLOCK, lambda: collect(host, rig.SETTINGS, live.CLOCK), late)
        handle = ", handle" if backend == "nft" else ""
        with refused("changed", f"Now it is rule 1 of filter INPUT (iptables-{backend}){handle}"):
            fixing.apply(fixing.plan(), "test")
    finally:
        host.close()
    assert rig.rules_of(backend) == [f"-A INPUT {' '.join(drop)}", *before]
    assert lease.our_sets() == ()


def case_a_busy_lock_is_waited_for_and_then_told(backend: str) -> None:
    fixer = rig.fixer(replace(rig.SETTINGS, lock_wait=0.5), rig.said)
    made, before = rig.order(fixer, backend), rig.rules_of(backend)
    with Path(lock.XTABLES).open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        if backend == "nft":  # which does not know this lock
            assert fixer.apply(made).state == "applied"
            return
        began = time.monotonic()
        with refused("lock-busy"):
            fixer.apply(made)
        assert time.monotonic() - began >= 0.5
        assert rig.rules_of(backend) == before
    assert lease.our_sets() == ()
    assert fixer.apply(rig.order(fixer, backend)).state == "applied"


def case_the_lock_is_never_held_for_long(backend: str) -> None:
    """With 10,000 rules: it is held for one comparison and one commit."""
    if backend == "nft":
        return
    sources = (f"fd00::{n:x}/128" if rig.VERSION == 6 else f"10.{n // 250}.{n % 250}.1/32" for n in range(10000))
    rules = "".join(f"-A BIG -s {source} -p tcp -m tcp --dport 80 -j ACCEPT\n" for source in sources)
    subprocess.run(
        [f"{rig.IPTABLES}-legacy-restore", "--noflush"], input=f"*filter\n:BIG - [0:0]\n{rules}COMMIT\n", text=True, check=True
    )
    held: list[float] = []
    committing: list[float] = []
    real, real_finish = lock._take, tool.Writer.finish

    def take(descriptor: int, wait: float, who: str, pause: float) -> None:
        real(descriptor, wait, who, pause)
        if "iptables" in who:
            held.append(-time.monotonic())
            committing.append(0.0)

    close = os.close

    def closing(descriptor: int) -> None:
        close(descriptor)
        if held and held[-1] < 0:
            held[-1] += time.monotonic()

    def finish(writer: tool.Writer, *given: Any) -> str:
        started = time.monotonic()
        try:
            return real_finish(writer, *given)
        finally:
            if held and held[-1] < 0:
                committing[-1] = time.monotonic() - started

    fixer = rig.fixer(twin=rig.said)
    lock._take = take
    lock.os.close = closing
    tool.Writer.finish = finish
    try:
        for _ in range(count(5, 500)):
            fixer.revert(by(fixer.apply(rig.order(fixer, backend)).id))
    finally:
        lock._take, lock.os.close, tool.Writer.finish = real, close, real_finish
    own = [whole - commit for whole, commit in zip(held, committing, strict=True)]
    for what, seconds in (("held", held), ("held but for the commit", own)):
        times = sorted(1000 * each for each in seconds)
        median, late = times[len(times) // 2], times[len(times) * 99 // 100]
        said = f"{len(times)} times {what}: median {median:.1f} ms, p99 {late:.1f} ms, most {times[-1]:.1f} ms"
        print(said, file=sys.stderr)
    assert len(held) >= 2 * count(5, 500)
    assert all(committing)
    # The tests assert no times: a neighbour on the same processors has them. `make fix-faults` is run alone.
    assert not os.environ.get("KUBEREACH_FULL") or max(own) <= LONGEST, said
