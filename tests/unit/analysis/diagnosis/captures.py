"""Captures built from a few words, for the tests of the analysis."""

import re
from dataclasses import replace

from agent.model.capture import (
    LEGACY_SAVE,
    NFT_JSON,
    Capture,
    Firewall,
    Interface,
    LegacyChain,
    Listener,
    Namespace,
    Node,
    PodRoute,
    Processes,
    Reading,
    Route,
)
from agent.model.probe import Outcome, ProbeRequest, ProbeResult, Tls, Vantage
from agent.model.settings import Settings

NODE_IP, POD_IP, PEER_IP = "192.0.2.10", "10.9.1.5", "192.0.2.11"
SEED = """*nat
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
[0:0] -A POSTROUTING -s 10.9.1.0/24 ! -d 10.9.0.0/16 -j MASQUERADE
COMMIT
*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
[9:9] -A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
[0:0] -A INPUT -p icmp -j ACCEPT
[0:0] -A INPUT -i lo -j ACCEPT
[0:0] -A INPUT -s 192.0.2.0/24 -j ACCEPT
[{hits}:0] -A INPUT -j REJECT --reject-with icmp-host-prohibited
COMMIT
"""
LISTENER = Listener(address="::", port=10250, pid=7, process="kubelet")
KUBELET_TLS = Tls(ok=True, version="TLSv1.3", http_status=401)


def firewall(legacy: str = "", nft: str = "") -> Firewall:
    readings = []
    if legacy:
        readings.append(Reading(name=LEGACY_SAVE, argv=("iptables-legacy-save", "-c"), status=0, stdout=legacy))
    readings.append(Reading(name=NFT_JSON, argv=("nft",), status=0, stdout=nft or '{"nftables": []}'))
    return Firewall(readings=tuple(readings), legacy_tables=tuple(re.findall(r"^\*(\w+)", legacy, re.MULTILINE)))


def probe(vantage: Vantage, outcome: Outcome, **parts: object) -> ProbeResult:
    namespace = 0 if vantage is Vantage.HOST else 42
    source = NODE_IP if vantage is Vantage.HOST else POD_IP
    target = PEER_IP if vantage is Vantage.PEER else NODE_IP
    request = ProbeRequest(vantage=vantage, namespace=namespace, source=source, target=target, port=10250)
    return ProbeResult(request=request, outcome=outcome, source=source, sport=40000, seconds=0.0004, **parts)  # type: ignore[arg-type]


HOST_OPEN = probe(Vantage.HOST, Outcome.OPEN, tls=KUBELET_TLS)
PEER_OPEN = probe(Vantage.PEER, Outcome.OPEN, tls=KUBELET_TLS)
PROHIBITED = probe(Vantage.POD, Outcome.HOST_PROHIBITED, errno="EHOSTUNREACH", icmp=(3, 10), offender=NODE_IP)


def capture(
    before: Firewall | None = None,
    between: Firewall | None = None,
    pod: ProbeResult | None = PROHIBITED,
    *,
    listeners: tuple[Listener, ...] = (LISTENER,),
    legacy_chain: LegacyChain | None = None,
    **parts: object,
) -> Capture:
    """The seed incident unless told otherwise: the pod is rejected, host and peer are fine."""
    node = Node(
        hostname="n1",
        interfaces=(
            Interface(index=1, name="lo", addresses=("127.0.0.1/8",)),
            Interface(index=2, name="eth0", addresses=(f"{NODE_IP}/24",)),
            Interface(index=3, name="cni0", kind="bridge", addresses=("10.9.1.1/24",)),
        ),
        routes=(
            Route(destination="0.0.0.0/0", interface="eth0", gateway="192.0.2.1"),
            Route(destination="192.0.2.0/24", interface="eth0"),
            Route(destination="10.9.2.0/24", interface="eth0", gateway=PEER_IP),
        ),
        namespaces=(
            Namespace(
                inode=42, path="/run/netns/p", interfaces=(Interface(index=2, name="eth0", addresses=(f"{POD_IP}/24",)),)
            ),
        ),
    )
    base = Capture(
        version="0.0.0",
        taken_at="2026-01-01T00:00:00Z",
        settings=Settings(),
        node=node,
        processes=Processes(listeners=listeners),
        before=before if before is not None else firewall(SEED.format(hits=0)),
        between=between if between is not None or before is not None else firewall(SEED.format(hits=1)),
        legacy_chain=legacy_chain,
        pod_routes=(PodRoute(pod=POD_IP, interface="cni0"),),
        probes=tuple(item for item in (pod, HOST_OPEN, PEER_OPEN) if item),
    )
    return replace(base, **parts)  # type: ignore[arg-type]
