"""`probe` and `preflight`."""

import json
from dataclasses import replace

import pytest

from agent.model.capture import Firewall, Problem
from agent.model.probe import Outcome
from agent.service.host import HostError


def test_the_three_vantage_points_side_by_side(run, host):
    result = run("probe")
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["vantage", "pod", "host", "peer", "peer"]
    assert "EHOSTUNREACH" in lines[1]
    assert "3/10" in lines[1]
    assert "172.31.16.124:10250" in lines[2]
    assert "HTTP 401" in lines[2]


def test_as_data(run, host):
    body = json.loads(run("probe", "-o", "json").stdout)
    assert body["schema"] == "kubereach.dev/probes/v1"
    assert [probe["outcome"] for probe in body["probes"]] == ["host-prohibited", "open", "open", "open"]


@pytest.mark.parametrize(
    ("outcome", "code"),
    [(Outcome.OPEN, 0), (Outcome.TIMEOUT, 1), (Outcome.RESET, 1), (Outcome.POD_GONE, 3), (Outcome.NOT_TRIED, 3)],
)
def test_the_exit_code_is_the_pods(run, host, outcome, code):
    pod, *others = host.capture.probes
    host.capture = replace(host.capture, probes=(replace(pod, outcome=outcome), *others))
    assert run("probe").exit_code == code


def test_without_a_pod_nothing_is_decided(run, host):
    host.capture = replace(host.capture, node=replace(host.capture.node, namespaces=()))
    result = run("probe")
    assert result.exit_code == 3
    assert "no pod to connect from" in result.stderr


def test_what_could_not_be_looked_at_is_said(run, host):
    host.failures = {"socket": HostError("CAP_SYS_ADMIN is missing")}
    result = run("probe")
    assert result.exit_code == 3
    assert "the pod's probe: CAP_SYS_ADMIN is missing" in result.stderr


def test_preflight_is_fine_where_something_can_be_read(run, host):
    result = run("preflight")
    assert result.exit_code == 0
    assert "ok  CAP_NET_ADMIN" in result.stdout
    assert "NO  nft: not found" in result.stdout


def test_preflight_where_nothing_can_be_read(run, host):
    host.capture = replace(host.capture, before=Firewall(problems=(Problem(what="nft", why="no", remedy="Run as root."),)))
    result = run("preflight", "-o", "json")
    assert result.exit_code == 5
    body = json.loads(result.stdout)
    assert (body["ready"], body["checks"][-1]["remedy"]) == (False, "Run as root.")
