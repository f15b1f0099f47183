"""Incidents behind the firewall: it lets pods in, and the scrape fails on a later rung of its ladder, or on another leg."""

from agent.lab.behaviour import Behaviour, StandIn
from agent.lab.incidents.incident import Expectation, Incident
from agent.lab.incidents.lines import LAST, NODES, PODS_KUBELET, PROHIBITED, STATEFUL
from agent.lab.names import DNS_ADDRESS, Names
from agent.lab.rules import POD_CIDR, Rules, on_either
from agent.lab.serving import Serving, Signer
from agent.model.explanation import Verdict
from agent.model.report import State
from agent.model.ruleset import Backend

_ADDRESS = "172.31.16.124"
_NAME = "k8s-worker1."
_PODS_DNS = f"-s {POD_CIDR} -p udp -m udp --dport 53 -j ACCEPT"
# Nothing of what follows depends on the backend: one is enough.
_OPEN: dict[Backend, Rules] = {Backend.NFT: on_either((*STATEFUL, NODES, PODS_KUBELET, _PODS_DNS, PROHIBITED))[Backend.NFT]}
_ALL_OPEN: dict[Backend, Rules] = {Backend.NFT: on_either(())[Backend.NFT]}
# How metrics-server's own manifest starts it: by address, and it verifies.
_STRICT = ("--kubelet-preferred-address-types=InternalIP,ExternalIP,Hostname", "--kubelet-use-node-status-port")
_INSECURE = (*_STRICT, "--kubelet-insecure-tls")
# Its defaults: by the node's name first.
_BY_NAME = ("--kubelet-insecure-tls",)
_DNS_UP = (f"ip addr add {DNS_ADDRESS}/32 dev lo",)
_IN_ORDER = Serving(signer=Signer.CLUSTER, address=_ADDRESS)
_APISERVER = (
    "--authorization-mode=Node,RBAC",
    "--service-cluster-ip-range=10.96.0.0/12",
    "--requestheader-client-ca-file=/etc/kubernetes/pki/front-proxy-ca.crt",
    "--requestheader-allowed-names=front-proxy-client",
    "--proxy-client-cert-file=/etc/kubernetes/pki/front-proxy-client.crt",
    "--proxy-client-key-file=/etc/kubernetes/pki/front-proxy-client.key",
)


def _degraded(code: str) -> Expectation:
    return Expectation(state=State.DEGRADED, code=code, verdict=Verdict.ACCEPT, notes=())


def _fine(*notes: str) -> Expectation:
    return Expectation(state=State.REACHABLE, verdict=Verdict.ACCEPT, notes=notes)


_CERTIFICATES: tuple[Incident, ...] = (
    Incident(
        name="healthy-certificate",
        story="Nothing is wrong: metrics-server verifies a certificate that the cluster's CA signed for the node's address.",
        rules=_OPEN,
        behaviour=Behaviour(serving=_IN_ORDER),
        metrics_server=_STRICT,
        expect=_fine("aggregation-leg"),
    ),
    Incident(
        name="certificate-without-address",
        story="The most frequent complaint: the kubelet signed for itself, with no address in its certificate, and "
        "metrics-server verifies.",
        rules=_OPEN,
        metrics_server=_STRICT,
        expect=_degraded("certificate-without-address"),
    ),
    Incident(
        name="healthy-unverified",
        story="Nothing is wrong for this metrics-server: it runs with --kubelet-insecure-tls and minds no certificate.",
        rules=_OPEN,
        metrics_server=_INSECURE,
        expect=_fine("certificate-without-address", "aggregation-leg"),
    ),
    Incident(
        name="certificate-other-address",
        story="The node was given a new address, and the kubelet's certificate still names the old one.",
        rules=_OPEN,
        behaviour=Behaviour(serving=Serving(signer=Signer.CLUSTER, address="172.31.16.99")),
        metrics_server=_STRICT,
        expect=_degraded("certificate-without-address"),
    ),
    Incident(
        name="certificate-self-signed",
        story="The kubelet's certificate names its address, but it signed it itself, and metrics-server trusts the "
        "cluster's CA.",
        rules=_OPEN,
        behaviour=Behaviour(serving=Serving(address=_ADDRESS)),
        metrics_server=_STRICT,
        expect=_degraded("certificate-untrusted"),
    ),
    Incident(
        name="certificate-other-authority",
        story="The node was moved from another cluster: its kubelet's certificate is signed by that cluster's CA.",
        rules=_OPEN,
        behaviour=Behaviour(serving=Serving(signer=Signer.STRANGER, address=_ADDRESS)),
        metrics_server=_STRICT,
        expect=_degraded("certificate-untrusted"),
    ),
    Incident(
        name="certificate-expired",
        story="Nobody approved the kubelet's renewal, and its certificate ended last week.",
        rules=_OPEN,
        behaviour=Behaviour(serving=Serving(signer=Signer.CLUSTER, address=_ADDRESS, begins=-372, ends=-7)),
        metrics_server=_STRICT,
        expect=_degraded("certificate-expired"),
    ),
    Incident(
        name="certificate-not-yet-valid",
        story="The node's clock stands a day behind the one by which its kubelet's certificate was signed.",
        rules=_OPEN,
        behaviour=Behaviour(serving=Serving(signer=Signer.CLUSTER, address=_ADDRESS, begins=1)),
        metrics_server=_STRICT,
        expect=_degraded("certificate-not-yet-valid"),
    ),
    Incident(
        name="certificate-pending",
        story="The kubelet asked the cluster for a serving certificate, and nobody approved the request: every handshake ends.",
        rules=_OPEN,
        behaviour=Behaviour(serving=Serving(signer=Signer.NOBODY)),
        expect=_degraded("kubelet-no-certificate"),
    ),
)
_ANSWERS: tuple[Incident, ...] = (
    Incident(
        name="kubelet-slow",
        story="The kubelet is short of everything: it takes the connection and the handshake, and no answer comes in time.",
        rules=_OPEN,
        behaviour=Behaviour(delay=4.0),
        expect=_degraded("kubelet-slow"),
    ),
    Incident(
        name="kubelet-error",
        story="The kubelet cannot talk to its container runtime and answers every request with 500.",
        rules=_OPEN,
        behaviour=Behaviour(status=500, text="failed to get node metrics"),
        expect=_degraded("http-failed"),
    ),
    Incident(
        name="healthy-anonymous",
        story="Nothing is wrong: anonymous authentication is on, so who has no token is system:anonymous and gets 403.",
        rules=_OPEN,
        flags=("--anonymous-auth=true",),
        behaviour=Behaviour(
            status=403, text="Forbidden (user=system:anonymous, verb=get, resource=nodes, subresource=metrics)"
        ),
        metrics_server=_INSECURE,
        expect=_fine("certificate-without-address", "kubelet-anonymous", "aggregation-leg"),
    ),
    Incident(
        name="kubelet-webhook-off",
        story="The kubelet does not show tokens to the API server: metrics-server stays nobody to it and gets 401.",
        rules=_OPEN,
        flags=("--authentication-token-webhook=false",),
        metrics_server=_INSECURE,
        expect=_degraded("kubelet-webhook-off"),
    ),
    Incident(
        name="kubelet-loopback",
        story="The kubelet was told to listen on 127.0.0.1 only: the node's own address answers with a reset.",
        rules=_OPEN,
        flags=("--address=127.0.0.1",),
        expect=Expectation(
            code="kubelet-bound-elsewhere", verdict=Verdict.ACCEPT, errno="ECONNREFUSED", host="reset", notes=()
        ),
    ),
    Incident(
        name="port-taken",
        story="A web server was started on port 10250 before the kubelet, which cannot listen there any more.",
        rules=_OPEN,
        behaviour=Behaviour(name="nginx", status=404, text="Not Found"),
        expect=_degraded("kubelet-port-taken"),
    ),
    Incident(
        name="read-only-port",
        story="An old manifest has metrics-server ask on port 10255 without TLS, which this kubelet has closed.",
        rules=_ALL_OPEN,
        metrics_server=(_STRICT[0], "--kubelet-port=10255", "--deprecated-kubelet-completely-insecure"),
        expect=_degraded("scrape-port-closed"),
    ),
)
_NAMES: tuple[Incident, ...] = (
    Incident(
        name="healthy-by-name",
        story="Nothing is wrong: metrics-server goes by the node's name, and the cluster's DNS knows it.",
        rules=_OPEN,
        node=_DNS_UP,
        names=Names(addresses={_NAME: _ADDRESS}),
        metrics_server=_BY_NAME,
        expect=_fine("certificate-untrusted", "aggregation-leg"),
    ),
    Incident(
        name="name-not-found",
        story="metrics-server goes by the node's name, which the cluster's DNS has never heard of.",
        rules=_OPEN,
        node=_DNS_UP,
        names=Names(),
        metrics_server=_BY_NAME,
        expect=_degraded("node-name-not-found"),
    ),
    Incident(
        name="name-servfail",
        story="The cluster's DNS cannot reach the server that it forwards to, and answers SERVFAIL.",
        rules=_OPEN,
        node=_DNS_UP,
        names=Names(failure="SERVFAIL"),
        metrics_server=_BY_NAME,
        expect=_degraded("dns-failed"),
    ),
    Incident(
        name="name-silent",
        story="The cluster's DNS takes questions and answers none.",
        rules=_OPEN,
        node=_DNS_UP,
        names=Names(silent=True),
        metrics_server=_BY_NAME,
        expect=_degraded("dns-failed"),
    ),
    Incident(
        name="name-refused",
        story="Nobody listens on the DNS server's address that pods were given.",
        rules=_OPEN,
        node=_DNS_UP,
        metrics_server=_BY_NAME,
        expect=_degraded("dns-failed"),
    ),
    Incident(
        name="name-elsewhere",
        story="The node's own hosts file maps its name to 127.0.1.1, and the cluster's DNS passes that on: only "
        "this node breaks.",
        rules=_OPEN,
        node=_DNS_UP,
        names=Names(addresses={_NAME: "127.0.1.1"}),
        metrics_server=_BY_NAME,
        expect=_degraded("node-name-elsewhere"),
    ),
    Incident(
        name="name-in-hosts",
        story="A hosts entry in metrics-server's pod still has the node's old address.",
        rules=_OPEN,
        hosts="172.31.16.99 k8s-worker1\n",
        metrics_server=_BY_NAME,
        expect=_degraded("node-name-elsewhere"),
    ),
)
_CONTROL_PLANE: tuple[Incident, ...] = (
    Incident(
        name="healthy-control-plane",
        story="Nothing is wrong: a control plane as kubeadm makes it, behind a proxy whose exceptions name the Services.",
        rules=_OPEN,
        stand_ins=(
            StandIn(
                name="kube-apiserver",
                flags=_APISERVER,
                environment=(("HTTPS_PROXY", "http://proxy.example:3128"), ("NO_PROXY", "10.0.0.0/8,172.31.0.0/16,.svc")),
            ),
        ),
        expect=_fine("certificate-without-address"),
    ),
    Incident(
        name="apiserver-proxy",
        story="kube-apiserver was given a proxy, and its exceptions leave out the Services: the metrics API goes to the proxy.",
        rules=_OPEN,
        stand_ins=(
            StandIn(
                name="kube-apiserver",
                flags=_APISERVER,
                environment=(("HTTPS_PROXY", "http://user:secret@proxy.example:3128"), ("NO_PROXY", "172.31.0.0/16")),
            ),
        ),
        expect=Expectation(state=State.DEGRADED, code="apiserver-proxy", verdict=Verdict.ACCEPT),
    ),
    Incident(
        name="aggregation-off",
        story="kube-apiserver was set up by hand, without the flags by which it vouches for its callers to metrics-server.",
        rules=_OPEN,
        stand_ins=(StandIn(name="kube-apiserver", flags=_APISERVER[:2]),),
        expect=Expectation(state=State.DEGRADED, code="aggregation-off", verdict=Verdict.ACCEPT),
    ),
    Incident(
        name="apiserver-without-rbac",
        story="kube-apiserver authorises by node names only: the role that lets metrics-server in counts for nothing.",
        rules=_OPEN,
        stand_ins=(StandIn(name="kube-apiserver", flags=("--authorization-mode=Node", *_APISERVER[1:])),),
        expect=Expectation(state=State.DEGRADED, code="apiserver-without-rbac", verdict=Verdict.ACCEPT),
    ),
    Incident(
        name="metrics-port-clash",
        story="metrics-server was put on the host's network to get past the firewall, and wants the kubelet's own port.",
        rules=_OPEN,
        stand_ins=(StandIn(name="metrics-server", flags=(*_INSECURE, "--secure-port=10250")),),
        expect=Expectation(state=State.DEGRADED, code="metrics-port-clash", verdict=Verdict.ACCEPT),
    ),
)
# Two at once: the rule is the cause, the certificate what comes after it.
_BOTH: tuple[Incident, ...] = (
    Incident(
        name="rejected-and-expired",
        story="The firewall rejects pods, and behind it waits the next trouble: the kubelet's certificate has expired.",
        rules={Backend.NFT: on_either((*STATEFUL, NODES, PROHIBITED))[Backend.NFT]},
        behaviour=Behaviour(serving=Serving(signer=Signer.CLUSTER, address=_ADDRESS, begins=-372, ends=-7)),
        expect=Expectation(code="input-reject", decider=LAST, errno="EHOSTUNREACH", icmp="3/10", notes=()),
    ),
)

INCIDENTS: tuple[Incident, ...] = (*_CERTIFICATES, *_ANSWERS, *_NAMES, *_CONTROL_PLANE, *_BOTH)
