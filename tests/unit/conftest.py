"""A node in an incident, as a capture: what the tests of service, api, cli and render look at."""

import pytest

from agent.model.capture import (
    LEGACY_SAVE,
    Capture,
    Firewall,
    Interface,
    LegacyChain,
    Listener,
    Namespace,
    Node,
    PodRoute,
    Process,
    Processes,
    Reading,
    Route,
    Stage,
)
from agent.model.probe import Outcome, ProbeRequest, ProbeResult, Tls, Vantage
from agent.model.settings import Settings

SAVE = """\
*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
[9:540] -A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
[0:0] -A INPUT -s 172.31.16.0/20 -j ACCEPT
[{blocked}:60] -A INPUT -j REJECT --reject-with icmp-host-prohibited
COMMIT
"""
POD, NODE, PEER = "10.244.4.138", "172.31.16.124", "172.31.22.159"
TLS = Tls(ok=True, version="TLSv1.3", http_status=401)


def firewall(blocked: int) -> Firewall:
    reading = Reading(name=LEGACY_SAVE, argv=("iptables-legacy-save", "-c"), status=0, stdout=SAVE.format(blocked=blocked))
    return Firewall(readings=(reading,), legacy_tables=("filter",))


def request(vantage: Vantage, namespace: int, source: str, target: str) -> ProbeRequest:
    return ProbeRequest(vantage=vantage, namespace=namespace, source=source, target=target, port=10250)


@pytest.fixture
def capture() -> Capture:
    """centos-reject on the legacy backend: the pod is rejected by rule 3, the host and the other node are fine."""
    pod = ProbeResult(
        request=request(Vantage.POD, 4026532001, POD, NODE),
        outcome=Outcome.HOST_PROHIBITED,
        errno="EHOSTUNREACH",
        icmp=(3, 10),
        offender=NODE,
        source=POD,
        sport=40000,
        seconds=0.0004,
    )
    host = ProbeResult(request=request(Vantage.HOST, 0, NODE, NODE), outcome=Outcome.OPEN, seconds=0.0002, tls=TLS)
    host_peer = ProbeResult(request=request(Vantage.PEER, 0, NODE, PEER), outcome=Outcome.OPEN, seconds=0.0005, tls=TLS)
    peer = ProbeResult(request=request(Vantage.PEER, 4026532001, POD, PEER), outcome=Outcome.OPEN, seconds=0.0006, tls=TLS)
    inside = Interface(index=2, name="eth0", kind="veth", addresses=(f"{POD}/24",))
    node = Node(
        hostname="k8s-worker1",
        interfaces=(
            Interface(index=1, name="lo", addresses=("127.0.0.1/8",)),
            Interface(index=2, name="eth0", addresses=(f"{NODE}/20",)),
            Interface(index=3, name="cni0", kind="bridge", addresses=("10.244.4.1/24",)),
        ),
        routes=(
            Route(destination="0.0.0.0/0", interface="eth0", gateway="172.31.16.1"),
            Route(destination="10.244.5.0/24", interface="eth0", gateway=PEER),
        ),
        namespaces=(Namespace(inode=4026532001, path="/run/netns/cni-1", interfaces=(inside,)),),
    )
    return Capture(
        version="0.1.0",
        taken_at="2026-01-31T12:00:00.000Z",
        settings=Settings(),
        node=node,
        processes=Processes(
            processes=(Process(pid=900, name="kubelet", argv=("/usr/bin/kubelet", f"--node-ip={NODE}")),),
            listeners=(Listener(address="::", port=10250, pid=900, process="kubelet"),),
        ),
        before=firewall(0),
        between=firewall(1),
        legacy_chain=LegacyChain(problem="not asked"),
        pod_routes=(PodRoute(pod=POD, interface="cni0"),),
        probes=(pod, host, peer, host_peer),
        stages=(Stage(name="total", seconds=0.12),),
    )
