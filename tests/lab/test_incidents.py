"""Each incident, staged for real: what a plain connect meets, what kubereach says over HTTP, and what its command says.

Every variant (incident and backend) is diagnosed, so that a wrong cause anywhere fails a test; `make accuracy` prints the
same as a table. The basic incidents (`firewall`) go through all of it: HTTP as root and rootless on each backend. The others
differ from those in rules and wires alone: they are asked over HTTP on each backend, rootless on the default one, which is the
narrower privilege, as root on the other, and there by `kubereach lab run` too.
"""

import json
import shlex
import sys
from ipaddress import ip_address, ip_network
from typing import Any

import httpx
import pytest

from agent.lab.incidents import INCIDENTS, Incident, firewall
from agent.lab.kubelet import TOKENS_SEEN
from agent.lab.topology import METRICS_SERVER, NODE, PEER, WEB
from agent.model.explanation import Verdict
from agent.model.report import State
from agent.model.ruleset import Backend
from tests.accuracy.campaign import judged
from tests.lab.staged import KUBEREACH, PRIVILEGES, run, served

BASIC = firewall.INCIDENTS
OTHERS = tuple(incident for incident in INCIDENTS if incident not in BASIC)
ON_THE_OTHER = [(one, backend) for one in OTHERS for backend in one.backends if backend is not one.default_backend]
SERVED = [
    *((incident, backend, privilege) for incident in BASIC for backend in incident.backends for privilege in PRIVILEGES),
    *((incident, incident.default_backend, PRIVILEGES[0 if incident.needs_root else -1]) for incident in OTHERS),
    *((incident, backend, PRIVILEGES[0]) for incident, backend in ON_THE_OTHER),
]
RUN = [
    *((incident, incident.default_backend) for incident in BASIC),
    *ON_THE_OTHER,
]
CONNECTED = [
    *((incident, backend) for incident in BASIC for backend in incident.backends),
    *((incident, incident.default_backend) for incident in OTHERS),
]
# Independent of kubereach: one connect, and what the kernel and its error queue (ip(7), IP_RECVERR) say of it.
CONNECT = """
import errno, socket, struct, sys
six = ":" in sys.argv[1]
with socket.socket(socket.AF_INET6 if six else socket.AF_INET) as sock:
    sock.settimeout(0.5)
    sock.setsockopt(*((socket.IPPROTO_IPV6, 25, 1) if six else (socket.IPPROTO_IP, 11, 1)))
    number, icmp = sock.connect_ex((sys.argv[1], 10250)), None
    sock.setblocking(False)  # an empty queue is an answer, too
    try:
        _, control, _, _ = sock.recvmsg(1, 512, socket.MSG_ERRQUEUE)
        for level, kind, data in control:
            error, origin, icmp_type, code = struct.unpack_from("=IBBB", data)
            icmp = f"{icmp_type}/{code}" if origin in (2, 3) else None
    except OSError:
        pass
name = errno.errorcode.get(number) if number else None
print("ETIMEDOUT" if name == "EAGAIN" else name, icmp)
"""
# What a plain connect says where our probe says this.
PLAIN = {
    "open": (None, None),
    "reset": ("ECONNREFUSED", None),
    "timeout": ("ETIMEDOUT", None),
    "no-route": ("ENETUNREACH", None),
    # An address that the host does not hold cannot be bound; a plain connect to it goes the way of all packets and is lost.
    "not-tried": ("ETIMEDOUT", None),
}


def named(value: object) -> str:
    """The part of a test's name that a parameter gives."""
    return value.name if isinstance(value, Incident) else str(value)


@pytest.mark.parametrize(("incident", "backend"), CONNECTED, ids=named)
def test_the_kernel_answers_a_plain_connect_as_the_incident_says(incident: Incident, backend: Backend) -> None:
    connect = shlex.join([sys.executable, "-c", CONNECT])
    node, other = (NODE.address6, PEER.address6) if incident.stack == "6" else (incident.address, PEER.address)
    pods = [f"nsenter --net={pod.namespace} {connect} {node}" for pod in (METRICS_SERVER, WEB)]
    peer = f"nsenter --net={METRICS_SERVER.namespace} {connect} {other}"
    script = "\n".join([*pods, peer, f"{connect} {node}"])
    done = run(PRIVILEGES[0], "lab", "run", incident.name, "--backend", backend, "--", "sh", "-c", script)
    pod = (incident.expect.errno, incident.expect.icmp)
    expected = [incident.expect.neighbour or pod, pod, PLAIN[incident.expect.peer], PLAIN[incident.expect.host]]
    assert done.stdout.splitlines() == [f"{error} {icmp}" for error, icmp in expected], done.stderr


@pytest.mark.parametrize(("incident", "backend", "privilege"), SERVED, ids=named)
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


@pytest.mark.parametrize(("incident", "backend"), RUN, ids=named)
def test_a_lab_run_exits_with_the_documented_code_and_prints_the_report(incident: Incident, backend: Backend) -> None:
    done = run(PRIVILEGES[0], "lab", "run", incident.name, "--backend", backend, "-o", "json")
    assert done.returncode == (0 if incident.expect.state is State.REACHABLE else 1), done.stderr
    assert_as_expected(json.loads(done.stdout), incident, backend)


@pytest.mark.parametrize("incident", [each for each in INCIDENTS if each.needs_root], ids=named)
def test_what_only_root_can_stage_says_so(incident: Incident) -> None:
    done = run("rootless", "lab", "run", incident.name)
    assert (done.returncode, done.stderr.count("\n")) == (5, 1)
    assert incident.needs_root in done.stderr


def test_every_variant_is_diagnosed_by_one_test_at_least() -> None:
    diagnosed = {(incident.name, backend) for incident, backend in (*((one, other) for one, other, _ in SERVED), *RUN)}
    assert diagnosed == {(incident.name, backend) for incident in INCIDENTS for backend in incident.backends}


# What a client cannot tell apart, by incident: closed, rejected by default and reset; and where the right accept is missing,
# late, in the other backend, or overruled.
TWINS = (
    ("ECONNREFUSED", ("kubelet-down", "reject-bare", "reject-tcp-reset")),
    ("EHOSTUNREACH", ("centos-reject", "allow-after-reject", "mixed-backends", "firewalld-overrules-accept")),
)


@pytest.mark.parametrize(("errno", "names"), TWINS, ids=["refused", "no route"])
def test_incidents_that_look_the_same_to_the_client_are_told_apart(errno: str, names: tuple[str, ...]) -> None:
    reports = [json.loads(run(PRIVILEGES[0], "lab", "run", name, "-o", "json").stdout) for name in names]
    assert {report["probes"][0]["errno"] for report in reports} == {errno}
    told = [(report["findings"][0]["code"], report["explanation"]["reject_with"]) for report in reports]
    assert len(set(told)) == len(names), told
    words = {(report["summary"], report["findings"][0]["message"]) for report in reports}
    assert len(words) == len(names), words


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


def test_a_capture_holds_the_pods_authority_and_no_secret() -> None:
    done = run(PRIVILEGES[0], "lab", "run", "healthy-certificate", "--", *KUBEREACH, "bundle", "-O", "-")
    assert "BEGIN CERTIFICATE" in json.loads(done.stdout)["pod_files"]["authority"], done.stderr
    assert "not-to-be-read" not in done.stdout
    done = run(PRIVILEGES[0], "lab", "run", "apiserver-proxy", "--", *KUBEREACH, "bundle", "-O", "-")
    assert "HTTPS_PROXY=http://***@proxy.example:3128" in done.stdout
    assert "user:secret" not in done.stdout


def assert_as_expected(report: dict[str, Any], incident: Incident, backend: Backend) -> None:
    """Holds a report against the facts of the incident that was staged."""
    expect = incident.expect
    shown = json.dumps(report, indent=1)
    assert report["node"] == NODE.name
    assert report["state"] == expect.state, shown
    trial = judged(report, incident, backend)
    assert trial.right, shown
    assert report["disagreements"] == [], shown
    assert expect.code in ("", report["findings"][0]["code"] if report["findings"] else ""), shown
    if expect.notes is not None:
        notes = [finding["code"] for finding in report["findings"] if finding["severity"] == "info"]
        # A machine that is busy with other tests makes a slow kubelet, and is told so.
        assert [code for code in notes if code != "kubelet-slow"] == list(expect.notes), shown
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
    probes = {probe["vantage"]: probe for probe in reversed(report["probes"])}
    assert (probes["pod"]["errno"], probes["pod"]["icmp"]) == (expect.errno, expect.icmp), shown
    assert any(ip_address(probes["pod"]["from"]) in ip_network(cidr) for cidr in incident.pod_cidrs), shown
    assert probes["pod"]["to"] == (f"[{NODE.address6}]:10250" if incident.stack == "6" else f"{incident.address}:10250")
    assert (probes["host"]["outcome"], probes["peer"]["outcome"]) == (expect.host, expect.peer), shown
