"""The evidence beside the rules, read on a staged node."""

import json
import os
import shlex
import signal
from pathlib import Path
from typing import Any

import pytest

from agent.lab import cgroup
from agent.lab.topology import NODE
from tests.lab.staged import IS_ROOT, KUBEREACH, PRIVILEGES, run, served

BUNDLE = ("--", *KUBEREACH, "bundle", "-O", "-")


def bundle(privilege: str, incident: str) -> dict[str, Any]:
    done = run(privilege, "lab", "run", incident, *BUNDLE)
    assert done.returncode in (0, 1), done.stderr
    captured: dict[str, Any] = json.loads(done.stdout)
    return captured


@pytest.mark.parametrize("privilege", PRIVILEGES)
def test_a_healthy_node_is_read_item_by_item(privilege: str) -> None:
    captured = bundle(privilege, "healthy")
    evidence = captured["evidence"]
    assert (evidence["cable"], evidence["entry"]) == ("vethd41e88f0", "cni0")
    found = {item["question"]: (item["errno"], item["kind"], item["interface"]) for item in evidence["lookups"]}
    assert found == {
        "pod to node": (None, "unicast", "eth0"),
        "pod enters node": (None, "local", "lo"),
        "node to pod": (None, "unicast", "cni0"),
    }
    assert evidence["mtus"] == {"pod eth0": 1500, "node vethd41e88f0": 1500, "node cni0": 1500}
    assert evidence["sysctls"]["conf/all/rp_filter"] == "2"
    assert [counters["drops"] for counters in captured["counters"]] == [0, 0]
    unread = {item["what"] for item in evidence["unread"]}
    if privilege == "rootless":  # the kernel shows programs to the machine's own root alone
        assert "tcx programs" in unread
    elif IS_ROOT:
        assert not any("programs" in what or "BPF" in what for what in unread)


@pytest.mark.skipif(not IS_ROOT, reason="the kernel loads BPF programs for the machine's own root only")
def test_programs_are_named_with_where_they_hang() -> None:
    (program,) = bundle("root", "tcx-drop")["evidence"]["programs"]
    assert (program["hook"], program["where"], program["name"]) == ("tcx ingress", "cni0", "from_container")
    captured = bundle("root", "cgroup-deny")
    (program,) = captured["evidence"]["programs"]
    assert (program["hook"], program["name"]) == ("cgroup ingress", "sd_fw_ingress")
    assert program["where"] == captured["evidence"]["cgroup"]
    before, after = (counters["drops"] for counters in captured["counters"])
    assert after > before


def test_a_pods_own_rules_are_read_in_its_namespace_and_no_table_is_made_by_looking() -> None:
    captured = bundle(PRIVILEGES[0], "pod-firewall-reject")
    saved = {reading["name"]: reading["stdout"] for reading in captured["pod_firewall"]["readings"]}
    assert f"-d {NODE.address}/32" in saved["iptables-nft-save"]
    assert "iptables-legacy-save" not in saved
    tables = "for pod in /run/netns/*; do nsenter --net=$pod cat /proc/net/ip_tables_names; done"
    done = run(PRIVILEGES[0], "lab", "run", "healthy", "--", "sh", "-c", f"{shlex.join(KUBEREACH)} diagnose >&2; {tables}")
    assert done.stdout == ""


@pytest.mark.skipif(not IS_ROOT, reason="the kernel loads BPF programs for the machine's own root only")
def test_the_kubelets_cgroup_is_gone_with_the_lab_and_a_killed_labs_with_the_next() -> None:
    mount = cgroup._mount()
    assert mount is not None
    with served("root", "cgroup-deny") as lab:
        mine = mount / f"kubereach-lab-{lab.process.pid}"
        assert mine.is_dir()
    assert not mine.exists()
    with served("root", "cgroup-deny") as lab:
        mine = mount / f"kubereach-lab-{lab.process.pid}"
        os.kill(lab.process.pid, signal.SIGKILL)
        lab.process.wait(10)
    run("root", "lab", "run", "cgroup-deny", "--", "true")
    assert not Path(mine).exists()
