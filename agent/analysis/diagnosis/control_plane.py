"""The leg from the API server to metrics-server, as far as this node shows it: flags and proxy variables of processes here.

Nothing on this leg is tried from here, so every finding is an inference from how a process was started, and says so. It is
another leg than the one to the kubelet; whoever types `kubectl top` cannot tell the two apart.
"""

from collections.abc import Iterator
from ipaddress import IPv4Network, IPv6Network, ip_network

from agent.analysis.diagnosis.catalog import Cause
from agent.analysis.diagnosis.catalog.control_plane import (
    AGGREGATION_LEG,
    AGGREGATION_OFF,
    APISERVER_PROXY,
    APISERVER_TUNNEL,
    APISERVER_WITHOUT_RBAC,
    METRICS_PORT_CLASH,
)
from agent.analysis.diagnosis.scene import Scene
from agent.analysis.diagnosis.scrape import values
from agent.model.capture import Process
from agent.model.probe import Outcome
from agent.model.report import Evidence, Fact, Finding, Remedy, Word

_MANIFEST = "kube-apiserver (/etc/kubernetes/manifests/kube-apiserver.yaml)"
# Without these the API server cannot vouch for its callers to metrics-server (kubernetes.io, Configure the Aggregation Layer).
_AGGREGATION = ("requestheader-client-ca-file", "proxy-client-cert-file", "proxy-client-key-file")
# What each flag decides for metrics-server, for the facts of a wide report.
_WHY = {
    "authorization-mode": "RBAC is what lets metrics-server read nodes/metrics",
    "requestheader-client-ca-file": "by this CA metrics-server knows that a request comes from the API server",
    "requestheader-allowed-names": "the API server's client certificate must bear one of these names",
    "enable-aggregator-routing": "true: requests go to metrics-server's pod address, not by its Service's",
    "egress-selector-config-file": "requests to kubelets and pods may leave by a tunnel",
    "kubelet-certificate-authority": "with it the API server verifies the kubelet's certificate, for kubectl logs and exec",
    "kubelet-preferred-address-types": "by which of the Node's addresses kubectl logs and exec reach the kubelet",
}
# Processes that hold both ends of a tunnel to their kubelets (k3s and rke2: egress-selector-mode; k0s: konnectivity).
_TUNNELS = ("k3s", "k3s-server", "k3s-agent", "rke2", "k0s")
_PROXY_KEYS = ("https_proxy",)


def look_at_control_plane(scene: Scene, *, holds: bool) -> tuple[Finding, ...]:
    """What the processes of the control plane that run here were told that keeps metrics from whoever asks for them.

    `holds`: nothing was found to be wrong on the leg to the kubelet.
    """
    found = [*_port_clash(scene)]
    apiserver = _process(scene, "kube-apiserver")
    if apiserver is not None and apiserver.argv:
        found += [*_proxy(apiserver), *_aggregation(apiserver), *_authorization(apiserver), *_tunnel(apiserver)]
    if holds and not found and scene.scrape.server is not None:
        found += _leg_that_is_left(scene)
    return tuple(found)


def facts(scene: Scene) -> Iterator[Fact]:
    """Flags of kube-apiserver that matter to metrics-server, each with why; and how metrics-server here asks."""
    apiserver = _process(scene, "kube-apiserver")
    for name, why in _WHY.items():
        for value in values(apiserver, name):
            yield Fact(name=f"kube-apiserver --{name}", value=value, source=why)
    server = scene.scrape.server
    if server is not None:
        how = "the certificate is not verified" if scene.scrape.insecure else "the certificate is verified"
        asked = scene.scrape.url if scene.scrape.address else f"no address of a type in {', '.join(_types(server))}"
        yield Fact(name="metrics-server asks", value=f"{asked}, {how}", source=f"flags of pid {server.pid}")
    tunnels = [process.name for process in scene.capture.processes.processes if process.name in _TUNNELS]
    for name in dict.fromkeys(tunnels):
        why = "kubectl logs and exec may reach the kubelet by its own tunnel, not by the node's address"
        yield Fact(name="tunnel", value=name, source=why)


def _proxy(apiserver: Process) -> Iterator[Finding]:
    """Go sends by HTTPS_PROXY whatever NO_PROXY does not name (net/http, ProxyFromEnvironment), and so does the aggregator."""
    variables: dict[str, tuple[str, str]] = {}
    for text in apiserver.environment:
        key, _, value = text.partition("=")
        if value:
            variables.setdefault(key.lower(), (key, value))
    proxy = next((variables[key] for key in _PROXY_KEYS if key in variables), None)
    services = [network for text in values(apiserver, "service-cluster-ip-range") for network in _networks(text)]
    if proxy is None or not services:
        return
    exempt = variables.get("no_proxy", ("NO_PROXY", ""))[1]
    forgotten = [network for network in services if not _is_exempt(network, exempt)]
    if not forgotten:
        return
    names = ", ".join(map(str, forgotten))
    yield _inferred(
        APISERVER_PROXY,
        f"kube-apiserver (pid {apiserver.pid}) has {proxy[0]}={proxy[1]}, and its NO_PROXY ({exempt or 'not set'}) leaves out "
        f"the Services' network {names}: requests for the metrics API go to the proxy, which "
        "refuses them or cannot reach a Service.",
        f"environment of pid {apiserver.pid}",
        Remedy(
            persistent={_MANIFEST: f"NO_PROXY={','.join(filter(None, (exempt, names)))}"},
            owner="kube-apiserver",
            note="Add the pods' network, too, where --enable-aggregator-routing=true is set.",
        ),
    )


def _aggregation(apiserver: Process) -> Iterator[Finding]:
    missing = [f"--{name}" for name in _AGGREGATION if not values(apiserver, name)]
    if missing:
        yield _inferred(
            AGGREGATION_OFF,
            f"kube-apiserver (pid {apiserver.pid}) runs without {', '.join(missing)}: it cannot tell metrics-server for whom "
            "it asks, and metrics-server answers 401 or 403 to kubectl top.",
            f"flags of pid {apiserver.pid}",
            Remedy(
                persistent={_MANIFEST: " ".join(f"{name}=..." for name in missing)},
                owner="kube-apiserver",
                note="kubeadm sets all of them, with the front-proxy CA of /etc/kubernetes/pki.",
            ),
        )


def _authorization(apiserver: Process) -> Iterator[Finding]:
    modes = [mode for text in values(apiserver, "authorization-mode") for mode in text.split(",")]
    if modes and not {"RBAC", "AlwaysAllow", "Webhook"}.intersection(modes):
        yield _inferred(
            APISERVER_WITHOUT_RBAC,
            f"kube-apiserver (pid {apiserver.pid}) runs with --authorization-mode={','.join(modes)}: metrics-server's "
            "ClusterRole counts for nothing, and the kubelet that asks the API server about it hears no (HTTP 403).",
            f"flags of pid {apiserver.pid}",
            Remedy(persistent={_MANIFEST: f"--authorization-mode={','.join((*modes, 'RBAC'))}"}, owner="kube-apiserver"),
        )


def _tunnel(apiserver: Process) -> Iterator[Finding]:
    for path in values(apiserver, "egress-selector-config-file"):
        yield _inferred(
            APISERVER_TUNNEL,
            f"kube-apiserver (pid {apiserver.pid}) has an egress selector ({path}): kubectl logs and exec may take a tunnel "
            "that this look does not see. Their errors (`502 Bad Gateway`, `No agent available`) are the tunnel's, not this "
            "node's.",
            f"flags of pid {apiserver.pid}",
        )


def _port_clash(scene: Scene) -> Iterator[Finding]:
    """A metrics-server on the host's network that was told to listen where the kubelet does."""
    server, port = scene.scrape.server, scene.identity.kubelet_port
    listener = scene.identity.listener
    taken = server is not None and listener is not None and listener.pid == server.pid
    if server is None or server.namespace != 0 or taken or str(port) not in values(server, "secure-port"):
        return
    yield _inferred(
        METRICS_PORT_CLASH,
        f"metrics-server (pid {server.pid}) runs on the host's network with --secure-port={port}, which is the kubelet's: "
        f"whichever of the two starts later fails with `listen tcp 0.0.0.0:{port}: bind: address already in use`.",
        f"flags of pid {server.pid}",
        Remedy(persistent={"metrics-server": "--secure-port=4443, or hostNetwork: false"}, owner="metrics-server"),
    )


def _leg_that_is_left(scene: Scene) -> Iterator[Finding]:
    """Everything on the kubelet's leg holds for the metrics-server of this node: what then remains is the other leg."""
    probe = scene.pod_probe
    status = probe.tls.http_status if probe and probe.outcome is Outcome.OPEN and probe.tls else None
    if status is None or status >= 500:
        return
    yield _inferred(
        AGGREGATION_LEG,
        "From this node's pods to this node's kubelet nothing is in the way. If `kubectl top` fails all the same, look at "
        "`kubectl describe apiservice v1beta1.metrics.k8s.io`: a NetworkPolicy on metrics-server, a control plane that reaches "
        "no pod addresses, a front-proxy CA that does not match, or missing rights on nodes/metrics (HTTP 403 in its log).",
        "what was tried on this node and holds",
    )


def _inferred(cause: Cause, message: str, whence: str, remedy: Remedy | None = None) -> Finding:
    return Finding(
        code=cause.code,
        severity=cause.severity,
        title=cause.title,
        message=f"Inferred, not tried: {message}",
        witnesses={"inference": Word.AGREES},
        evidence=(Evidence(witness="inference", text=whence),),
        remedy=remedy,
    )


def _process(scene: Scene, name: str) -> Process | None:
    return next((process for process in scene.capture.processes.processes if process.name == name), None)


def _types(server: Process) -> list[str]:
    return values(server, "kubelet-preferred-address-types") or ["the default types"]


def _networks(text: str) -> Iterator[IPv4Network | IPv6Network]:
    for part in text.split(","):
        try:
            yield ip_network(part.strip(), strict=False)
        except ValueError:
            continue  # not for us to judge: the API server itself would not start with it


def _is_exempt(network: IPv4Network | IPv6Network, exempt: str) -> bool:
    """Whether NO_PROXY names all of a network: a star, or a CIDR around it (golang.org/x/net/http/httpproxy)."""
    if exempt.strip() == "*":
        return True
    around = [other for part in exempt.split(",") if "/" in part for other in _networks(part)]
    return any(other.version == network.version and network.subnet_of(other) for other in around)  # type: ignore[arg-type]  # same version
