import pytest

from agent.analysis.diagnosis.scrape import read_scrape, switch, values
from agent.model.capture import NodeObject, Process, Processes
from agent.model.identity import Identity

IDENTITY = Identity(node_name="n1", node_ips=("192.0.2.10",))
OBJECT = NodeObject(
    name="n1",
    addresses=(("InternalIP", "192.0.2.10"), ("Hostname", "n1"), ("InternalDNS", "n1.internal"), ("ExternalIP", "fd00::1")),
    kubelet_port=10555,
)


def scrape(*flags, node=OBJECT):
    server = Process(pid=9, name="metrics-server", argv=("/metrics-server", *flags), namespace=5)
    return read_scrape(Processes(processes=(server,)), node, IDENTITY)


@pytest.mark.parametrize(
    ("flags", "endpoint", "kind"),
    [
        ((), "n1:10250", "Hostname"),
        (("--kubelet-preferred-address-types=InternalIP,Hostname",), "192.0.2.10:10250", "InternalIP"),
        (("--kubelet-preferred-address-types", "ExternalIP"), "[fd00::1]:10250", "ExternalIP"),
        (
            ("--kubelet-preferred-address-types=ExternalDNS", "--kubelet-preferred-address-types=InternalDNS"),
            "n1.internal:10250",
            "InternalDNS",
        ),
        (("--kubelet-use-node-status-port",), "n1:10555", "Hostname"),
        (("--kubelet-use-node-status-port=false", "--kubelet-port=10255"), "n1:10255", "Hostname"),
        (("--kubelet-use-node-status-port", "--kubelet-port=10255"), "n1:10555", "Hostname"),
        (("--kubelet-port=x",), "n1:10250", "Hostname"),
        (("--kubelet-preferred-address-types=ExternalDNS",), ":10250", "ExternalDNS"),
    ],
)
def test_address_and_port_follow_its_own_flags(flags, endpoint, kind):
    found = scrape(*flags)
    assert (found.endpoint, found.kind) == (endpoint, kind)


def test_without_a_node_object_the_kubelets_own_report_is_assumed():
    assert scrape(node=None).endpoint == "n1:10250"
    assert scrape("--kubelet-use-node-status-port", node=None).port == 10250


@pytest.mark.parametrize(
    ("flags", "strict", "insecure"),
    [
        ((), True, False),
        (("--kubelet-insecure-tls",), False, True),
        (("--kubelet-insecure-tls=true",), False, True),
        (("--kubelet-insecure-tls=false",), True, False),
        (("--deprecated-kubelet-completely-insecure",), False, False),
    ],
)
def test_whether_it_verifies(flags, strict, insecure):
    found = scrape(*flags)
    assert (found.strict, found.insecure) == (strict, insecure)


def test_without_a_metrics_server_it_is_the_nodes_own_address():
    found = read_scrape(Processes(), OBJECT, IDENTITY)
    assert (found.server, found.url) == (None, "https://192.0.2.10:10250/metrics/resource")
    assert not found.strict


def test_flags_are_read_in_every_form():
    process = Process(pid=1, name="x", argv=("x", "--a=1", "--a", "2", "-a=3", "--ab=4", "--b"))
    assert values(process, "a") == ["1", "2", "3"]
    assert values(process, "b") == []
    assert values(None, "a") == []


@pytest.mark.parametrize(
    ("flag", "value"), [("--x", True), ("--x=T", True), ("--x=0", False), ("--x=***", None), ("--xy", None)]
)
def test_a_switch_is_what_go_takes_it_for(flag, value):
    assert switch(Process(pid=1, name="x", argv=(flag,)), "x") is value
