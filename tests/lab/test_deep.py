"""The deep look against a real kernel: what it says, and that nothing of it is left, whoever is killed."""

import json
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from agent.host.client import Broker
from agent.host.drop_events import drop_events
from agent.lab.topology import NODE
from agent.model.trace import TraceRequest
from tests.lab.program import inside, sh
from tests.lab.staged import IS_ROOT, KUBEREACH, run
from tests.lab.test_vantages import NODE as NODE_IP
from tests.lab.test_vantages import PODS, PORT, SETTINGS, request, wire_up

pytestmark = pytest.mark.lab

INSTANCES = Path("/sys/kernel/tracing/instances")
SEE_TRACEFS = "mount -t tracefs nodev /sys/kernel/tracing"
needs_root = pytest.mark.skipif(not IS_ROOT, reason="tracefs belongs to the machine's own root")


def deep(incident: str, *options: str) -> dict:
    """The report of a deep look at an incident, with the tables that are there afterwards."""
    diagnose = " ".join([*KUBEREACH, "diagnose", "--deep", "-o", "json"])
    done = run(
        "root" if IS_ROOT else "rootless",
        "lab",
        "run",
        incident,
        *options,
        "--",
        "sh",
        "-c",
        f"{diagnose}; nft list tables >&2",
    )
    assert done.stdout, done.stderr
    assert "kubereach-trace" not in done.stderr
    return json.loads(done.stdout)


def words(report: dict) -> dict[str, tuple[str, str]]:
    (cause, *_) = report["findings"]
    seen = {item["witness"]: item["text"] for item in cause["evidence"]}
    return {name: (word, seen.get(name, "")) for name, word in cause["witnesses"].items()}


@needs_root
@pytest.mark.parametrize("incident", ["centos-reject", "drop-policy", "hardened-nft"])
def test_the_kernels_trace_and_its_reason_agree_with_the_rule(incident: str) -> None:
    found = words(deep(incident))
    assert found["trace"][0] == "agrees", found
    assert "input" in found["trace"][1].lower()
    assert found["drop-reason"][0] == "agrees", found
    assert "NETFILTER_DROP" in found["drop-reason"][1]


@needs_root
def test_legacy_rules_are_not_traced_and_the_reason_is_there_all_the_same() -> None:
    found = words(deep("centos-reject", "--backend", "legacy"))
    assert found["trace"][0] == "absent"
    assert "iptables-legacy" in found["trace"][1]
    assert found["drop-reason"][0] == "agrees", found


@needs_root
def test_an_answer_that_is_dropped_is_traced_on_its_way_out() -> None:
    found = words(deep("reply-drop-output"))
    assert found["trace"][0] == "agrees", found
    assert "OUTPUT" in found["trace"][1]
    assert found["drop-reason"][0] == "silent", found


def test_without_being_asked_there_is_neither() -> None:
    done = run("rootless", "lab", "run", "centos-reject", "-o", "json")
    assert not {"trace", "drop-reason"} & set(words(json.loads(done.stdout)))
    assert NODE.address in done.stdout


@inside
def test_a_deep_look_leaves_no_table_and_no_instance() -> None:
    wire_up("a")
    sh(SEE_TRACEFS, f"iptables-nft -A INPUT -p tcp --dport {PORT} -j DROP")
    before = sh("nft list ruleset")
    with Broker.start(SETTINGS) as broker:
        for _ in range(3):
            seen = broker.deep(trace())
            assert (seen.problem, seen.events_problem, seen.rules_problem, seen.errno) == ("", "", "", "ETIMEDOUT"), seen
            assert "NETFILTER_DROP" in seen.events
            assert "verdict drop" in seen.rules
            assert ours() == []
    assert counterless(sh("nft list ruleset")) == counterless(before)


@inside
def test_a_broker_that_is_killed_in_the_middle_leaves_no_table_and_no_instance() -> None:
    wire_up("a")
    sh(SEE_TRACEFS, f"iptables-nft -A INPUT -p tcp --dport {PORT} -j DROP")
    broker = Broker.start(SETTINGS)
    if os.fork() == 0:
        broker.deep(trace(2.0))
        os._exit(0)
    await_that(lambda: "kubereach-trace" in sh("nft list tables") and bool(ours()))
    (pid,) = (int(entry.name) for entry in Path("/proc").iterdir() if runs(entry, b"agent.host.broker"))
    os.kill(pid, signal.SIGKILL)
    await_that(lambda: "kubereach-trace" not in sh("nft list tables") and not ours())
    broker.close()


@inside
def test_what_even_a_guardian_left_is_swept_and_what_is_in_use_is_not() -> None:
    sh(SEE_TRACEFS)
    left = INSTANCES / "kubereach-left"
    left.mkdir()
    if os.fork() == 0:
        with drop_events(4, 1):
            os._exit(0 if not left.exists() and len(ours()) == 1 else 1)
    _, status = os.wait()
    assert os.waitstatus_to_exitcode(status) == 0
    await_that(lambda: not ours())


@inside
def test_nobody_elses_packets_are_kept() -> None:
    wire_up("a", "b")
    sh(f"iptables-nft -A INPUT -p tcp --dport {PORT} -j DROP")
    with Broker.start(SETTINGS) as broker:
        seen = broker.deep(trace())
    assert 1 <= seen.events.count("\n") < 10, seen.events
    assert f"sport={seen.sport} dport={PORT}" in seen.events


def trace(timeout: float = 0.2) -> TraceRequest:
    return TraceRequest(namespace=request("a").namespace, source=PODS["a"], target=NODE_IP, port=PORT, timeout=timeout)


def ours() -> list[str]:
    return [entry.name for entry in INSTANCES.iterdir() if entry.name.startswith("kubereach-")]


def counterless(ruleset: str) -> list[str]:
    return [line.partition("counter")[0] for line in ruleset.splitlines()]


def runs(entry: Path, program: bytes) -> bool:
    try:
        return entry.name.isdecimal() and program in (entry / "cmdline").read_bytes()
    except OSError:
        return False


def await_that(holds, patience: float = 10.0) -> None:
    deadline = time.monotonic() + patience
    while not holds():
        assert time.monotonic() < deadline, (ours(), sh("nft list tables"))
        time.sleep(0.01)


if __name__ == "__main__":
    globals()[sys.argv[1]].body()
