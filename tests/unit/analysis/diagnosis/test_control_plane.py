"""Flags and proxies of the processes here: inferences about the leg from the API server to metrics-server."""

from dataclasses import replace

import pytest

from agent.analysis.diagnosis.diagnose import analyse
from agent.model.capture import Process, Processes
from agent.model.report import Severity, State
from tests.unit.analysis.diagnosis.captures import LISTENER, NODE_IP, capture, firewall
from tests.unit.analysis.diagnosis.test_ladder import BY_ADDRESS, ENDED, GOOD, KUBELET, codes, reached, server

FLAGS = (
    "--authorization-mode=Node,RBAC",
    "--service-cluster-ip-range=10.96.0.0/12,fd00:96::/112",
    "--requestheader-client-ca-file=/front-proxy-ca.crt",
    "--proxy-client-cert-file=/front-proxy-client.crt",
    "--proxy-client-key-file=***",
    "--enable-aggregator-routing=true",
)


def apiserver(*flags, environment=()):
    return Process(pid=3, name="kube-apiserver", argv=("kube-apiserver", *flags), environment=environment)


def test_a_control_plane_in_order_is_told_in_facts_only():
    report = reached(GOOD, apiserver(*FLAGS))
    assert report.findings == ()
    facts = {fact.name: (fact.value, fact.source) for fact in report.facts}
    assert facts["kube-apiserver --authorization-mode"] == ("Node,RBAC", "RBAC is what lets metrics-server read nodes/metrics")
    assert "kube-apiserver --enable-aggregator-routing" in facts


@pytest.mark.parametrize(
    ("environment", "found"),
    [
        (("HTTPS_PROXY=http://p:1", "NO_PROXY=192.0.2.0/24"), True),
        (("https_proxy=http://p:1",), True),
        (("HTTPS_PROXY=http://p:1", "NO_PROXY=10.0.0.0/8"), True),  # the IPv6 Services are left out
        (("HTTPS_PROXY=http://p:1", "NO_PROXY=10.0.0.0/8, fd00::/8"), False),
        (("HTTPS_PROXY=http://p:1", "no_proxy=*"), False),
        (("HTTPS_PROXY=", "NO_PROXY=x"), False),
        (("HTTP_PROXY=http://p:1",), False),  # the metrics API is asked by https
        ((), False),
    ],
)
def test_a_proxy_without_an_exception_for_the_services(environment, found):
    report = reached(GOOD, apiserver(*FLAGS, environment=environment))
    assert codes(report) == (["apiserver-proxy"] if found else [])
    assert report.state is (State.DEGRADED if found else State.REACHABLE)
    assert not found or report.findings[0].message.startswith("Inferred, not tried: ")


def test_an_unknown_services_network_is_not_judged():
    flags = [flag for flag in FLAGS if "service-cluster" not in flag]
    assert codes(reached(GOOD, apiserver(*flags, environment=("HTTPS_PROXY=http://p:1",)))) == []


@pytest.mark.parametrize(
    ("value", "found"),
    [("10.96.0.0/12,***", True), ("***", False)],
    ids=["one of two is hidden", "the only one is hidden"],
)
def test_a_services_network_that_is_none_is_left_out_of_the_question(value, found):
    flags = [flag for flag in FLAGS if "service-cluster" not in flag]
    environment = ("HTTPS_PROXY=http://p:1", "NO_PROXY=nowhere/at/all")
    report = reached(GOOD, apiserver(*flags, f"--service-cluster-ip-range={value}", environment=environment))
    assert codes(report) == (["apiserver-proxy"] if found else [])
    assert not found or "the Services' network 10.96.0.0/12:" in report.findings[0].message


def test_an_api_server_that_cannot_vouch_for_its_callers():
    report = reached(GOOD, apiserver(*FLAGS[:3]))
    assert codes(report) == ["aggregation-off"]
    assert "--proxy-client-cert-file, --proxy-client-key-file" in report.findings[0].message


def test_flags_that_could_not_be_seen_are_not_missing():
    assert codes(reached(GOOD, replace(apiserver(), argv=()))) == []


@pytest.mark.parametrize(
    ("modes", "found"), [("Node", True), ("Node,ABAC", True), ("Node,RBAC", False), ("AlwaysAllow", False)]
)
def test_roles_count_only_with_rbac(modes, found):
    report = reached(GOOD, apiserver(f"--authorization-mode={modes}", *FLAGS[1:]))
    assert codes(report) == (["apiserver-without-rbac"] if found else [])


def test_a_tunnel_is_information():
    report = reached(GOOD, apiserver(*FLAGS, "--egress-selector-config-file=/egress.yaml"))
    assert [(finding.code, finding.severity) for finding in report.findings] == [("apiserver-tunnel", Severity.INFO)]


@pytest.mark.parametrize(
    ("process", "found"),
    [
        (server(BY_ADDRESS, "--kubelet-insecure-tls", "--secure-port=10250", namespace=0), True),
        (server(BY_ADDRESS, "--kubelet-insecure-tls", "--secure-port=4443", namespace=0), False),
        (server(BY_ADDRESS, "--kubelet-insecure-tls", "--secure-port=10250"), False),
    ],
)
def test_two_servers_want_one_port_only_on_the_hosts_network(process, found):
    assert ("metrics-port-clash" in codes(reached(GOOD, process))) is found


def test_the_other_leg_is_what_is_left_where_this_one_holds():
    assert codes(reached(GOOD, server(BY_ADDRESS))) == ["aggregation-leg"]
    assert codes(reached(ENDED, server(BY_ADDRESS))) == ["certificate-expired"]


def test_the_other_leg_is_not_what_is_left_where_nobody_answered_a_pod():
    given = capture(firewall("*filter\n:INPUT ACCEPT [0:0]\nCOMMIT\n"), pod=None)
    processes = Processes(processes=(KUBELET, server(BY_ADDRESS, "--kubelet-insecure-tls")), listeners=(LISTENER,))
    assert codes(analyse(replace(given, processes=processes))) == []


def facts(report):
    return [(fact.name, fact.value) for fact in report.facts]


def test_a_tunnel_of_the_distribution_is_a_fact_told_once():
    report = reached(GOOD, *(Process(pid=pid, name="k3s-server", argv=("k3s", "server")) for pid in (70, 71)))
    assert [value for name, value in facts(report) if name == "tunnel"] == ["k3s-server"]
    assert [value for name, value in facts(reached()) if name == "tunnel"] == []


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ((BY_ADDRESS,), f"https://{NODE_IP}:10250/metrics/resource, the certificate is verified"),
        (
            ("--kubelet-preferred-address-types=ExternalDNS,ExternalIP", "--kubelet-insecure-tls"),
            "no address of a type in ExternalDNS,ExternalIP, the certificate is not verified",
        ),
    ],
)
def test_how_metrics_server_asks_is_a_fact(flags, said):
    assert ("metrics-server asks", said) in facts(reached(GOOD, server(*flags)))
