"""The way of one scrape, rung by rung: the name, the port and who holds it, TLS, the certificate, the answer, who is let in.

The first rung that fails is the answer: nobody can tell of those above it. What nobody here minds is kept as information, and
only where nothing fails. A pod that the firewall stops has a cause of its own: then only what the host's own connect, or an
answer of a name server, proves is told, behind that cause.
"""

from collections.abc import Iterator
from dataclasses import replace

from agent.analysis.diagnosis.access import judge_access, judge_answer
from agent.analysis.diagnosis.catalog.kubelet import KUBELET_PORT_TAKEN, NO_CERTIFICATE, SCRAPE_PORT_CLOSED, TLS_FAILED
from agent.analysis.diagnosis.catalog.names import DNS_FAILED, NAME_ELSEWHERE, NAME_NOT_FOUND
from agent.analysis.diagnosis.certificates import covers, judge_certificate
from agent.analysis.diagnosis.identify import KUBELETS
from agent.analysis.diagnosis.names import decisive, go_error, say_answers
from agent.analysis.diagnosis.rung import Fault, Rung, finding_of
from agent.analysis.diagnosis.scene import Scene
from agent.analysis.diagnosis.scrape import READ_ONLY_PORT, told
from agent.analysis.diagnosis.suspects_socket import packet_size
from agent.analysis.path.explain import explain
from agent.model.explanation import Verdict
from agent.model.probe import Outcome, ProbeResult, Tls
from agent.model.report import Excluded, Finding, Remedy, Severity
from agent.model.scrape import NameAnswer, NameLookup

# Processes that hold a kubelet under another name, beside those that `identify` takes for one, or pass the port on to one.
_KUBELET_LIKE = (
    *KUBELETS,
    *("hyperkube", "k0s", "microk8s", "openshift", "talos", "machined", "init", "systemd"),
    *("docker-proxy", "rootlesskit", "rootlessport"),
)
_INTERNAL_ERROR = "internal error"  # crypto/tls: what a server answers whose GetCertificate has none
_UNAUTHORIZED = 401


def climb(scene: Scene) -> tuple[Finding, ...]:
    """The first rung's fault, or else what is worth knowing of a ladder that holds."""
    rungs = tuple(_rungs(scene))
    faults = [rung.fault for rung in rungs if rung.fault]
    bad = next((fault for fault in faults if fault.severity is not Severity.INFO), None)
    arrived = scene.pod_probe is not None and scene.pod_probe.outcome is Outcome.OPEN
    told_of = [bad] if bad else faults if arrived else []
    return tuple(finding_of(rungs, fault, scene.scrape.url) for fault in told_of)


def excluded(scene: Scene) -> Iterator[Excluded]:
    """Rungs that hold, and by what that is known."""
    for rung in _rungs(scene):
        if rung.fault is not None:
            return
        if rung.name == "dns":
            yield Excluded(what="name resolution", because=rung.saw)
        elif rung.name == "certificate" and scene.scrape.server is not None and scene.capture.trust is not None:
            yield Excluded(what="the kubelet's certificate", because=rung.saw)


def _rungs(scene: Scene) -> Iterator[Rung]:
    lookup = scene.capture.name_lookup
    if lookup is not None and not lookup.problem:
        yield Rung(name="dns", saw="; ".join(say_answers(lookup)), fault=_name_fault(scene, lookup))
    yield from _port_rung(scene)
    probe = _open_probe(scene)
    if probe is None or probe.tls is None:
        return
    tls, whence = probe.tls, f"from {probe.source or probe.request.source}"
    yield Rung(name="tcp", saw=f"{whence}: open after {_ms(probe.seconds)}", fault=_holder_fault(scene, tls))
    shaken = f"{tls.version} after {_ms(tls.handshake_seconds)}" if tls.ok else tls.error
    yield Rung(name="tls", saw=shaken, fault=None if tls.ok else _handshake_fault(scene, probe, tls))
    if not tls.ok:
        return
    fault = judge_certificate(tls, scene.scrape, scene.capture.taken_at, scene.capture.trust)
    yield Rung(name="certificate", saw=_certificate(scene, tls), fault=fault)
    answered = f"HTTP {tls.http_status}" if tls.http_status else tls.http_error
    first_byte = f", first byte after {_ms(tls.first_byte_seconds)}" if tls.first_byte_seconds is not None else ""
    excerpt = f": {tls.http_excerpt}" if tls.http_excerpt else ""
    fault = judge_answer(tls, scene.scrape, scene.capture.settings.request_timeout)
    yield Rung(name="http", saw=f"{answered}{first_byte}{excerpt}", fault=fault)
    access = judge_access(tls, scene.identity, scene.capture.processes)
    if access is not None:
        yield Rung(name="access", saw=answered, fault=access)


def _open_probe(scene: Scene) -> ProbeResult | None:
    """The pod's own connect where it arrived, else the host's: the same kubelet with the same certificate answers both."""
    opened = (probe for probe in (scene.pod_probe, scene.host_probe) if probe and probe.outcome is Outcome.OPEN)
    return next(opened, None)


def _name_fault(scene: Scene, lookup: NameLookup) -> Fault | None:
    types = Remedy(
        persistent={"metrics-server": "--kubelet-preferred-address-types=InternalIP,ExternalIP,Hostname"},
        owner="metrics-server",
        note="metrics-server then connects to the node's address and asks nobody for a name.",
    )
    asks = f"metrics-server prefers the Node's {scene.scrape.kind}, {lookup.name}"
    own = {*scene.identity.node_ips, *(address for _, address in scene.scrape.addresses)}
    if lookup.addresses:
        if own.intersection(lookup.addresses):
            return None
        source = "the pod's hosts file" if lookup.from_hosts else "the name server"
        found = ", ".join(lookup.addresses)
        message = f"{asks}, and {source} says that is {found}. The node's own addresses are {', '.join(sorted(own))}."
        return Fault(cause=NAME_ELSEWHERE, message=message, remedy=types)
    last = decisive(lookup)
    if last is None:
        return None
    if last.answer in (NameAnswer.NXDOMAIN, NameAnswer.NO_DATA):
        message = f"{asks}, and the name server {last.question.server} knows no address of that name."
        return Fault(cause=NAME_NOT_FOUND, message=message, go_error=go_error(lookup), remedy=types)
    stopped = scene.pod_probe is not None and scene.pod_probe.outcome is not Outcome.OPEN
    if last.answer is NameAnswer.NOT_TRIED or (stopped and last.answer in (NameAnswer.TIMEOUT, NameAnswer.UNREACHABLE)):
        return None  # what stops the pod may stop its question, too
    said = {
        NameAnswer.SERVFAIL: "SERVFAIL: it failed itself, or whoever it asked did",
        NameAnswer.REFUSED: "REFUSED: it does not answer this client",
        NameAnswer.TIMEOUT: f"nothing within {scene.capture.settings.connect_timeout:g} s",
        NameAnswer.UNREACHABLE: f"{last.detail}: nobody listens there, or somebody rejects the question",
    }.get(last.answer, last.detail)
    message = f"{asks}; asked from its pod, the name server {last.question.server} answers: {said}."
    look = Remedy(
        command="kubectl -n kube-system get pods,endpoints -l k8s-app=kube-dns -o wide",
        persistent=types.persistent,
        owner="cluster DNS",
        note="Told to go by the node's address, metrics-server needs no name server.",
    )
    return Fault(cause=DNS_FAILED, message=message, go_error=go_error(lookup), remedy=look)


def _port_rung(scene: Scene) -> Iterator[Rung]:
    """Whether somebody listens where metrics-server asks, where that is another port than the kubelet's."""
    scrape, port = scene.scrape, scene.identity.kubelet_port
    processes = scene.capture.processes
    if scrape.server is None or scrape.port == port or processes.problem:
        return
    listening = any(listener.port == scrape.port for listener in processes.listeners)
    if listening:
        yield Rung(name="port", saw=f"port {scrape.port} has a listener")
        return
    why = " 10255 is the read-only port, which a kubelet has closed for years." if scrape.port == READ_ONLY_PORT else ""
    fault = Fault(
        cause=SCRAPE_PORT_CLOSED,
        message=f"metrics-server (pid {scrape.server.pid}) asks on port {scrape.port}, and nobody on this node listens there; "
        f"the kubelet's port is {port}.{why}",
        go_error=f"dial tcp {scrape.endpoint}: connect: connection refused" if _gets_to(scene, scrape.port) else "",
        remedy=Remedy(
            persistent={"metrics-server": f"--kubelet-port={port}, without --deprecated-kubelet-completely-insecure"},
            owner="metrics-server",
        ),
    )
    yield Rung(name="port", saw=f"no listener on port {scrape.port}", fault=fault)


def _gets_to(scene: Scene, port: int) -> bool:
    """Whether the rules let a pod's packet to that port of the node pass: else it meets them, and not a closed port."""
    if scene.packet is None:
        return False
    return explain(scene.ruleset, replace(scene.packet, dport=port)).verdict is Verdict.ACCEPT


def _holder_fault(scene: Scene, tls: Tls) -> Fault | None:
    """Somebody else holds the port: metrics-server itself, or a program that does not answer as a kubelet does.

    A program of a name that nobody knows which answers 401 may be a forwarder in front of a kubelet: no fault is claimed.
    """
    listener = scene.identity.listener
    if listener is None or not listener.process or listener.process in _KUBELET_LIKE:
        return None
    if scene.identity.kubelet is not None and scene.identity.kubelet.pid == listener.pid:
        return None
    if listener.process != "metrics-server" and tls.ok and tls.http_status == _UNAUTHORIZED:
        return None
    who = f"{listener.process} (pid {listener.pid})"
    return Fault(
        cause=KUBELET_PORT_TAKEN,
        message=f"{who} listens on {listener.address}:{listener.port}, so the kubelet cannot "
        "(listen tcp: bind: address already in use).",
        remedy=Remedy(
            command=f"ss -ltnp 'sport = :{listener.port}'; journalctl -u kubelet -n 50 --no-pager",
            persistent={"metrics-server on the host's network": "--secure-port=4443"},
            owner=listener.process,
        ),
    )


def _handshake_fault(scene: Scene, probe: ProbeResult, tls: Tls) -> Fault:
    large = packet_size(scene, probe)
    if large:
        return Fault(cause=large.cause, message=large.message, remedy=large.remedy, kernel=large.seen)
    if tls.alert == _INTERNAL_ERROR:
        bootstrap = told(scene.capture.processes, "serverTLSBootstrap")
        known = f" {bootstrap.path} has serverTLSBootstrap: {bootstrap.value}." if bootstrap else ""
        return Fault(
            cause=NO_CERTIFICATE,
            message="The kubelet ends the handshake with the alert internal_error, which is what it does while it has no "
            f"serving certificate: its request to the cluster's CA is pending.{known}",
            go_error=f"remote error: tls: {tls.alert}",
            remedy=Remedy(
                command="kubectl get csr --field-selector spec.signerName=kubernetes.io/kubelet-serving   "
                "# then: kubectl certificate approve <name>",
                owner="whoever approves certificate signing requests",
                note="Nothing in Kubernetes itself approves serving certificates: an approver in the cluster keeps it so.",
            ),
        )
    error = f"remote error: tls: {tls.alert}" if tls.alert else ""
    message = f"TCP connects, then the TLS handshake fails: {tls.error}."
    return Fault(cause=TLS_FAILED, message=message, go_error=error)


def _certificate(scene: Scene, tls: Tls) -> str:
    """Everything that was read of it, each Node address beside whether it is named."""
    if not tls.not_after:
        return tls.error or "none was shown"
    signer = "itself" if tls.self_signed else tls.issuer
    addresses = (f"{kind} {text} is {'named' if covers(tls, text) else 'not named'}" for kind, text in scene.scrape.addresses)
    life = f"valid {tls.not_before} to {tls.not_after}"
    trust = scene.capture.trust
    issued = {True: ", the CA that pods are given", False: ", not the CA that pods are given", None: ""}[
        trust.issued if trust else None
    ]
    return "; ".join((f"{tls.subject}, signed by {signer}{issued}", life, *addresses))


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms"
