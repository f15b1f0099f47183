"""iptables' programs as they are found on nodes: missing, of another mind, talkative, stuck; and one backend for the other."""

import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from agent.host import command
from agent.host.errors import FixRefused, HostError
from agent.host.fixing import tool
from agent.lab.topology import LAB
from tests.lab.fixing import rig
from tests.lab.fixing.cases.setting import refused
from tests.lab.fixing.serving import Serving

BIN = LAB / "bin"
# What it does instead.
BAD_SAVES = {
    "another mind": "echo \"# Table \\`filter' is incompatible, use 'nft' tool.\"",
    "an old version": 'echo "iptables v1.4.7: unknown option" >&2; exit 2',
    "busy": 'echo "Another app is currently holding the xtables lock." >&2; exit 4',
    "garbage": "head -c 3000 /dev/urandom",
    "nothing": "exit 0",
    "stuck": "sleep 60",
}
BAD_RESTORES = {
    "another mind": "cat > /dev/null; echo \"# Table \\`filter' is incompatible, use 'nft' tool.\"",
    "a refusal": 'cat > /dev/null; echo "iptables-restore: line 2 failed" >&2; exit 1',
    "busy": 'cat > /dev/null; echo "Another app is currently holding the xtables lock." >&2; exit 4',
    "garbage": "cat > /dev/null; head -c 3000 /dev/urandom; exit 3",
    "a crash": "kill -SEGV $$",
    "stuck in the test": "sleep 60",
    "stuck in the write": 'case "$*" in *--test*) cat > /dev/null; exit 0;; esac; sleep 60',
    "deaf": "exit 0",
}


def case_programs_that_are_missing_are_named(backend: str) -> None:
    fixer, before = rig.fixer(twin=rig.said), rig.rules_of(backend)
    made, real = rig.order(fixer, backend), command.find
    command.find = lambda name: None if "tables" in name else real(name)
    try:
        with refused("no-tool", "is not installed"):
            fixer.apply(made)
    finally:
        command.find = real
    assert rig.rules_of(backend) == before
    assert fixer.apply(rig.order(fixer, backend)).state == "applied"


def case_a_save_that_misbehaves_changes_nothing(backend: str) -> None:
    for name, script in BAD_SAVES.items():
        _misbehaving(backend, "save", name, script)


def case_a_restore_that_misbehaves_changes_nothing(backend: str) -> None:
    for name, script in BAD_RESTORES.items():
        _misbehaving(backend, "restore", name, script)


def case_a_restore_that_hangs_in_its_write_keeps_nobody_waiting(backend: str) -> None:
    """Whoever waits for iptables' lock gets it while our writer hangs, long before the other deadline."""
    if backend == "nft":  # which holds no lock
        return
    fixer, real = rig.fixer(twin=rig.said), tool._DEADLINE
    made, tool._DEADLINE = rig.order(fixer, backend), 30.0
    try:
        stuck = _replaced(f"{rig.IPTABLES}-{backend}-restore", BAD_RESTORES["stuck in the write"])
        with stuck, ThreadPoolExecutor(1) as pool:
            hung, waits = pool.submit(fixer.apply, made), [0.0]
            while not hung.done():
                began = time.monotonic()
                rig.iptables(backend, "-A", "FORWARD", "-j", "RETURN")
                rig.iptables(backend, "-D", "FORWARD", "-j", "RETURN")
                waits.append(time.monotonic() - began)
            with refused("no-tool", "did not end in time"):
                hung.result()
    finally:
        tool._DEADLINE = real
    assert 0.5 < max(waits) < 25, waits  # a second on an idle machine; at 0.5 the lock was not even held
    assert rig.ours(backend) == []


def case_a_backend_that_is_switched_is_the_next_plans(backend: str) -> None:
    """The rules move, and the name `iptables` with them, under a service that goes on: nothing of before is remembered."""
    other, rules = "nft" if backend == "legacy" else "legacy", rig.rules_of(backend)
    pod, service = rig.Pod(), Serving(PATH=f"{BIN}:{os.environ['PATH']}")
    try:
        for _ in range(2):
            for here, there in ((backend, other), (other, backend)):
                _point_to(here)
                rig.iptables(there, "-F", "INPUT")
                rig.iptables(here, "-F", "INPUT")
                for rule in rules:
                    rig.iptables(here, *rule.split())
                assert not pod.gets_through()
                plan = service.must("POST", "/v1/plans")
                assert plan["place"]["backend"] == here, plan
                fix = service.must("POST", "/v1/fixes", {"plan": plan["id"]})
                assert pod.gets_through()
                assert (len(rig.ours(here)), len(rig.ours(there))) == (1, 0)
                service.must("DELETE", f"/v1/fixes/{fix['id']}")
    finally:
        service.close()
        rig.iptables(other, "-F", "INPUT")


def _misbehaving(backend: str, verb: str, name: str, script: str) -> None:
    fixer, before = rig.fixer(twin=rig.said), rig.rules_of(backend)
    made, patience, children = rig.order(fixer, backend), tool._DEADLINE, _children()
    tool._DEADLINE, found = 1.0, None
    try:
        with _replaced(f"{rig.IPTABLES}-{backend}-{verb}", script):
            fixer.apply(made)
    except HostError as error:  # what else it might be is a fault of ours
        found = error
    finally:
        tool._DEADLINE = patience
    assert found is not None, f"{verb}, {name}: it was not refused"
    assert isinstance(found, FixRefused) or (verb == "save" and rig.IPTABLES in str(found)), (verb, name, found)
    assert rig.rules_of(backend) == before, name
    assert _children() <= children, name
    again = rig.fixer(twin=rig.said)  # nothing is left that would be in the way of the next
    fix = again.apply(rig.order(again, backend))
    assert rig.state_of(fix) == "applied", name
    rig.forget_state()


@contextmanager
def _replaced(program: str, script: str) -> Iterator[None]:
    """That program is this script, for us and for whatever we start."""
    BIN.mkdir(exist_ok=True)
    path, found = BIN / program, os.environ["PATH"]
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    os.environ["PATH"] = f"{BIN}:{found}"
    try:
        yield
    finally:
        os.environ["PATH"] = found
        path.unlink()


def _point_to(backend: str) -> None:
    """As update-alternatives does it."""
    BIN.mkdir(exist_ok=True)
    for verb in ("", "-save", "-restore"):
        real = command.find(f"{rig.IPTABLES}-{backend}{verb}")
        assert real, backend
        link = BIN / f"{rig.IPTABLES}{verb}"
        link.unlink(missing_ok=True)
        link.symlink_to(real)


def _children() -> set[int]:
    """Our own, with the dead ones that nobody reaped."""
    while True:
        try:
            texts = [path.read_text() for path in Path("/proc/self/task").glob("*/children")]
        except (FileNotFoundError, ProcessLookupError):  # a thread has ended meanwhile: its children are another's now
            continue
        return {int(word) for text in texts for word in text.split()}
