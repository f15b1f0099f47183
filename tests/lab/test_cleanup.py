"""Whatever is killed, whenever: no process, namespace, interface or mount of the lab is left."""

import os
import signal
import subprocess
from pathlib import Path

import httpx
import pytest

from tests.lab.staged import (
    PRIVILEGES,
    Served,
    await_that,
    command,
    command_line,
    namespaces_in_use,
    namespaces_of,
    pids,
    run,
    served,
    starting,
)

OURS = namespaces_of(os.getpid())
# Whose death ends the lab. The outer process is the one that was started.
VITAL = ("outer", "unshare", "agent.lab.inside", "agent.host.supervisor")
# Whose death the lab survives.
SPARE = ("agent.api.front", "agent.host.broker", "agent.host.process_worker", "agent.host.twin_worker", "agent.lab.kubelet")


@pytest.fixture(autouse=True)
def _the_machine_stays_as_it_was():
    before = machine()
    yield
    assert machine() == before


def machine() -> dict[str, str]:
    """What the lab must not change: interfaces, addresses, routes, mounts, rules, sysctls of the machine's namespace."""
    commands = ("ip -o link", "ip -o -4 address", "ip route", "nft list ruleset")
    outputs = {line: subprocess.run(line.split(), capture_output=True, text=True, check=False).stdout for line in commands}
    files = ("/proc/self/mountinfo", "/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/ipv4/conf/all/rp_filter")
    return outputs | {name: Path(name).read_text() for name in files}


def lab_namespaces(lab: Served) -> set[str]:
    return set().union(*(namespaces_of(pid) for pid in lab.descendants())) - OURS


def nothing_is_left(processes: dict[int, str], namespaces: set[str]) -> bool:
    alive = [pid for pid, line in processes.items() if line and command_line(pid) == line]
    return not alive and not namespaces & namespaces_in_use()


@pytest.mark.parametrize("privilege", PRIVILEGES)
@pytest.mark.parametrize("victim", VITAL)
def test_killing_what_the_lab_lives_by_leaves_nothing(victim, privilege):
    with served(privilege, "centos-reject") as lab:
        lab.pid_of("agent.host.process_worker")
        processes, namespaces = lab.descendants(), lab_namespaces(lab)
        assert {name.partition(":")[0] for name in namespaces} >= {"net", "mnt", "pid"}
        os.kill(lab.process.pid if victim == "outer" else lab.pid_of(victim), signal.SIGKILL)
        await_that(lambda: lab.process.poll() is not None, "the outer process goes on")
        await_that(lambda: nothing_is_left(processes, namespaces), f"left: {processes}, {namespaces}")
        with pytest.raises(httpx.TransportError):
            httpx.get(f"{lab.url}/livez")


@pytest.mark.parametrize("privilege", PRIVILEGES)
def test_killing_a_part_that_can_be_replaced_leaves_a_lab_that_answers_and_then_nothing(privilege):
    with served(privilege, "centos-reject") as lab:
        processes, namespaces = lab.descendants(), lab_namespaces(lab)
        for victim in SPARE:
            pid = lab.pid_of(victim)
            os.kill(pid, signal.SIGKILL)
            await_that(lambda pid=pid: not command_line(pid), f"{victim} goes on")
        await_that(lambda: answers(lab), "the lab does not answer any more")
        processes |= lab.descendants()
    assert lab.process.returncode == 0
    await_that(lambda: nothing_is_left(processes, namespaces), f"left: {processes}, {namespaces}")


def answers(lab: Served) -> bool:
    try:
        return httpx.get(f"{lab.url}/v1/verdict", timeout=5.0).status_code == 503
    except httpx.TransportError:
        return False


@pytest.mark.parametrize("privilege", PRIVILEGES)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_polite_end_is_a_clean_one(number, privilege):
    with served(privilege, "healthy") as lab:
        processes, namespaces = lab.descendants(), lab_namespaces(lab)
        lab.process.send_signal(number)
        assert lab.process.wait(10) == 0
    await_that(lambda: nothing_is_left(processes, namespaces), f"left: {processes}, {namespaces}")


@pytest.mark.parametrize("privilege", PRIVILEGES)
@pytest.mark.parametrize("moment", ["unshare", "agent.lab.inside", "agent.lab.kubelet", "agent.host.supervisor"])
def test_killing_the_lab_while_it_is_built_leaves_nothing(moment, privilege):
    with starting(privilege, "centos-reject") as process:
        lab = Served(process, "", "")
        lab.pid_of(moment)
        processes, namespaces = lab.descendants(), lab_namespaces(lab)
        process.kill()
        process.wait()
        await_that(lambda: nothing_is_left(processes, namespaces), f"left: {processes}, {namespaces}")


def test_an_interrupted_run_ends_its_command_and_says_so():
    marker = f"3601.{os.getpid()}"
    argv = command(PRIVILEGES[0], "lab", "run", "healthy", "--", "sleep", marker)
    with subprocess.Popen(argv, start_new_session=True) as process:
        await_that(lambda: bool(sleepers(marker)), "the command does not run")
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 130
    await_that(lambda: not sleepers(marker), "the command goes on")


def sleepers(marker: str) -> list[int]:
    return [pid for pid in pids() if command_line(pid).startswith(f"sleep {marker}")]


def test_orphans_are_reaped_while_a_command_runs():
    zombies = "grep -ls '^State:.Z' /proc/[0-9]*/status"
    script = (
        f"(sh -c 'exit 3' &); sleep 0.2; i=0; while {zombies} >&2 && [ $i -lt 500 ]; do i=$((i+1)); sleep 0.01; done; {zombies}"
    )
    assert run(PRIVILEGES[0], "lab", "run", "healthy", "--", "sh", "-c", script).stdout == ""


def test_a_daemon_that_a_command_leaves_behind_ends_with_the_lab():
    marker = f"3600.{os.getpid()}"
    done = run(PRIVILEGES[0], "lab", "run", "healthy", "--", "sh", "-c", f"(sleep {marker} &) ; exit 7")
    assert done.returncode == 7
    assert not sleepers(marker)
