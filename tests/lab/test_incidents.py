"""Each incident, staged for real: what a plain connect meets, what kubereach says over HTTP, and what its command says."""

import json
import shlex
import sys
from typing import Any

import httpx
import pytest

from agent.lab.incidents import INCIDENTS, Incident
from agent.lab.kubelet import TOKENS_SEEN
from agent.lab.topology import METRICS_SERVER, NODE, PEER, WEB
from agent.model.explanation import Verdict
from agent.model.report import State
from agent.model.ruleset import Backend
from tests.lab.staged import KUBEREACH, PRIVILEGES, run, served

VARIANTS = [
    pytest.param(incident, backend, id=f"{incident.name}-{backend}") for incident in INCIDENTS for backend in incident.backends
]
# Independent of kubereach: one connect, and what the kernel and its error queue (ip(7), IP_RECVERR) say of it.
CONNECT = """
import errno, socket, struct, sys
with socket.socket() as sock:
    sock.settimeout(0.5)
    sock.setsockopt(socket.IPPROTO_IP, 11, 1)
    number, icmp = sock.connect_ex((sys.argv[1], 10250)), None
    sock.setblocking(False)  # an empty queue is an answer, too
    try:
        _, control, _, _ = sock.recvmsg(1, 512, socket.MSG_ERRQUEUE)
        for level, kind, data in control:
            error, origin, icmp_type, code = struct.unpack_from("=IBBB", data)
            icmp = f"{icmp_type}/{code}" if origin == 2 else None
    except OSError:
        pass
name = errno.errorcode.get(number) if number else None
print("ETIMEDOUT" if name == "EAGAIN" else name, icmp)
"""
# What a plain connect says where our probe says this.
PLAIN = {"open": (None, None), "reset": ("ECONNREFUSED", None), "timeout": ("ETIMEDOUT", None)}


@pytest.mark.parametrize(("incident", "backend"), VARIANTS)
def test_the_kernel_answers_a_plain_connect_as_the_incident_says(incident: Incident, backend: Backend) -> None:
    connect = shlex.join([sys.executable, "-c", CONNECT])
    pods = [f"nsenter --net={pod.namespace} {connect} {NODE.address}" for pod in (METRICS_SERVER, WEB)]
    peer = f"nsenter --net={METRICS_SERVER.namespace} {connect} {PEER.address}"
    script = "\n".join([*pods, peer, f"{connect} {NODE.address}"])
    done = run(PRIVILEGES[0], "lab", "run", incident.name, "--backend", backend, "--", "sh", "-c", script)
    pod = (incident.expect.errno, incident.expect.icmp)
    expected = [incident.expect.neighbour or pod, pod, PLAIN[incident.expect.peer], PLAIN[incident.expect.host]]
    assert done.stdout.splitlines() == [f"{error} {icmp}" for error, icmp in expected], done.stderr


@pytest.mark.parametrize("privilege", PRIVILEGES)
@pytest.mark.parametrize(("incident", "backend"), VARIANTS)
def test_an_incident_is_diagnosed_over_http(incident: Incident, backend: Backend, privilege: str) -> None:
    with served(privilege, incident.name, "--backend", backend) as lab, httpx.Client(base_url=lab.url, timeout=30.0) as client:
        report = client.get("/v1/report").raise_for_status().json()
        verdict, page = client.get("/v1/verdict"), client.get("/").raise_for_status()
        assert_as_expected(report, incident, backend)
        assert verdict.status_code == (200 if incident.expect.state in (State.REACHABLE, State.DEGRADED) else 503)
        assert verdict.text.count("\n") == 1
        assert verdict.text.strip()
        assert incident.expect.state in page.text.lower()
        for line in ("", "/v1/report", "/v1/verdict"):
            assert f"{lab.url.removeprefix('http://')}{line}\n" in lab.announcement
        assert incident.story in lab.announcement


@pytest.mark.parametrize("incident", INCIDENTS, ids=lambda incident: incident.name)
def test_a_lab_run_exits_with_the_documented_code_and_prints_the_report(incident: Incident) -> None:
    done = run(PRIVILEGES[0], "lab", "run", incident.name, "-o", "json")
    assert done.returncode == (0 if incident.expect.state is State.REACHABLE else 1), done.stderr
    assert_as_expected(json.loads(done.stdout), incident, incident.default_backend)


def test_no_token_is_ever_sent_to_a_kubelet() -> None:
    ask = (
        "import ssl, sys, urllib.request as request\n"
        "with request.urlopen(sys.argv[1], context=ssl._create_unverified_context()) as answer: print(answer.read().decode())"
    )
    diagnose = shlex.join([*KUBEREACH, "diagnose"])
    count = shlex.join([sys.executable, "-c", ask, f"https://{NODE.address}:10250{TOKENS_SEEN}"])
    done = run(PRIVILEGES[0], "lab", "run", "healthy", "--", "sh", "-c", f"{diagnose} >&2\n{count}")
    assert "401" in done.stderr
    assert done.stdout.split() == ["0"], done.stderr


def assert_as_expected(report: dict[str, Any], incident: Incident, backend: Backend) -> None:
    """Holds a report against the facts of the incident that was staged."""
    expect = incident.expect
    shown = json.dumps(report, indent=1)
    assert report["node"] == NODE.name
    assert report["state"] == expect.state, shown
    assert [finding["code"] for finding in report["findings"]][:1] == ([expect.code] if expect.code else []), shown
    explanation = report["explanation"]
    assert explanation["verdict"] == expect.verdict, shown
    if expect.decider is not None:
        rule, decider = explanation["decided_by"], expect.decider
        named = (rule["backend"], rule["table"], rule["chain"], rule["rule_number"], rule["policy"])
        number = decider.rule_number
        assert named == (backend, decider.table, decider.chain, number, number is None), shown
    if expect.reply is not None:
        reply, stopper = explanation["reply"], expect.reply
        rule = reply["decided_by"]
        assert reply["verdict"] in (Verdict.DROP, Verdict.REJECT), shown
        assert (rule["backend"], rule["chain"], rule["rule_number"]) == (backend, stopper.chain, stopper.rule_number), shown
    probes = {probe["vantage"]: probe for probe in report["probes"]}
    assert (probes["pod"]["errno"], probes["pod"]["icmp"]) == (expect.errno, expect.icmp), shown
    assert probes["pod"]["from"] in (METRICS_SERVER.address, WEB.address)
    assert probes["pod"]["to"] == f"{NODE.address}:10250"
    assert (probes["host"]["outcome"], probes["peer"]["outcome"]) == (expect.host, expect.peer), shown
