"""C10 of the threats: pods or a node with very many rules, and an agent that the kernel ends where it takes too much memory."""

import os
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.lab.topology import METRICS_SERVER, WEB
from tests.lab.kube_shape import kube_proxy
from tests.lab.staged import await_that
from tests.service.running import Service, serving

MIB = 1024 * 1024
# For the service alone, as docs/install.md says: all of a look, and the least that an answer needs; what the manifests give. A
# hundred looks with KUBEREACH_LOOKS=100.
ROOMY, TIGHT, GIVEN = 128 * MIB, 80 * MIB, 256 * MIB
RULES, LOOKS = 100_000, int(os.environ.get("KUBEREACH_LOOKS", "5"))
NO_ROOM = r"processes: .* was not started: there is no room for it: .* our memory limit of 80 MiB"
ROOTS = (Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup"))


class Group:
    """A memory control group of our own, of either version (the kernel's Documentation/admin-guide/cgroup-v1 and cgroup-v2)."""

    def __init__(self, path: Path, limit: int) -> None:
        self.path = path
        self.old = (path / "memory.limit_in_bytes").exists()
        (path / ("memory.limit_in_bytes" if self.old else "memory.max")).write_text(str(limit))

    def kills(self) -> int:
        """How many processes the kernel has ended in it for want of memory."""
        text = (self.path / ("memory.oom_control" if self.old else "memory.events")).read_text()
        return int(dict(line.split() for line in text.splitlines())["oom_kill"])

    def peak(self) -> int:
        """The most it had, in bytes, what could be dropped at once included."""
        return int((self.path / ("memory.max_usage_in_bytes" if self.old else "memory.peak")).read_text())


@pytest.fixture
def group(limit: int) -> Iterator[Group]:
    path = next((root for root in ROOTS if root.is_dir() and _limits(root)), None)
    if path is None:
        pytest.skip("no memory control group is here: neither of version 1 nor, with the controller on, of version 2")
    path = path / f"kubereach-test-{os.getpid()}"
    try:
        path.mkdir()
    except OSError as error:
        pytest.skip(f"no memory control group may be made here: {error.strerror}")
    try:
        yield Group(path, limit)
    finally:
        await_that(lambda: _removed(path), f"{path} is not empty")


def _limits(root: Path) -> bool:
    control = root / "cgroup.subtree_control"
    return (root / "memory.limit_in_bytes").exists() or (control.exists() and "memory" in control.read_text().split())


def _removed(path: Path) -> bool:
    try:
        path.rmdir()
    except OSError:  # who lived in it is on their way out
        return False
    return True


def rules() -> str:
    lines = (
        f"-A OUTPUT -d 10.99.{number >> 8 & 255}.{number & 255}/32 -p tcp -m tcp --dport {1 + number % 60_000} -j ACCEPT\n"
        for number in range(RULES)
    )
    return f"*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n{''.join(lines)}COMMIT\n"


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("limit", "backend", "unread", "twin"),
    [
        (ROOMY, "nft", r"the pod's nft-json: .* took more than \d+ bytes of memory", "agrees"),
        (ROOMY, "legacy", r"the pod's iptables-legacy-save: .* in the kernel", "agrees"),
        (TIGHT, "nft", NO_ROOM, "absent"),
        (TIGHT, "legacy", NO_ROOM, "absent"),
    ],
    ids=["nft", "legacy", "nft-tight", "legacy-tight"],
)
def test_pods_full_of_rules_do_not_cost_the_agent_its_life(
    tmp_path: Path, group: Group, backend: str, unread: str, twin: str
) -> None:
    """Where there is room for all of it, all of it is done; where there is not, the rule is named without, and that is said."""
    procs = os.open(group.path / "cgroup.procs", os.O_WRONLY)
    try:
        with serving(tmp_path, group=procs) as service:
            assert str(service.pid_of("agent.api.front")) in (group.path / "cgroup.procs").read_text().split()
            lived = {module: service.pid_of(module) for module in ("agent.host.broker", "agent.api.front")}
            for pod in (METRICS_SERVER, WEB):
                load = service.on_node(f"iptables-{backend}-restore", pod=pod.namespace)
                subprocess.run(load, input=rules(), text=True, check=True)
            look(service, unread, twin)
            assert {module: service.pid_of(module) for module in lived} == lived
            print(f"{LOOKS} looks, {group.peak() / MIB:.0f} MiB at most")
            assert group.kills() == 0
    finally:
        os.close(procs)


def look(service: Service, unread: str, twin: str) -> None:
    for report in reports(service):
        finding = report["findings"][0]
        assert (report["state"], finding["code"], finding["witnesses"]["twin"]) == ("blocked", "input-reject", twin)
        assert any(re.match(unread, problem) for problem in report["problems"]), report["problems"]


def reports(service: Service) -> Iterator[dict[str, Any]]:
    with service.client(timeout=120) as client:
        for _ in range(LOOKS):
            answer = client.post("/v1/diagnoses")
            if answer.status_code == 429:
                time.sleep(int(answer.headers["Retry-After"]))
                answer = client.post("/v1/diagnoses")
            yield answer.raise_for_status().json()["report"]


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("limit", "read"), [(GIVEN, True), (ROOMY, False)], ids=["read", "left out"])
def test_the_legacy_tables_of_five_thousand_services_are_read_where_they_fit(tmp_path: Path, group: Group, read: bool) -> None:
    """Where they do not the rule is named all the same: its counter tells that nothing stopped the packet before it."""
    procs = os.open(group.path / "cgroup.procs", os.O_WRONLY)
    try:
        with serving(tmp_path, group=procs) as service:
            lived = {module: service.pid_of(module) for module in ("agent.host.broker", "agent.api.front")}
            tables = kube_proxy(5000)
            load = service.on_node("iptables-legacy-restore")
            subprocess.run(load, input=tables[tables.index("*nat") :], text=True, check=True)
            for report in reports(service):
                finding = report["findings"][0]
                assert (report["state"], finding["code"]) == ("blocked", "input-reject")
                assert finding["witnesses"]["counters"] == "agrees"
                assert ("is enough is not known" in finding["message"]) is not read
                said = [problem for problem in report["problems"] if problem.startswith("iptables-legacy-save: ")]
                assert bool(said) is not read, report["problems"]
                assert read or said[0].endswith("are left. raise the memory limit of the agent's container")
            assert {module: service.pid_of(module) for module in lived} == lived
            print(f"{LOOKS} looks, {group.peak() / MIB:.0f} MiB at most")
            assert group.kills() == 0
    finally:
        os.close(procs)
