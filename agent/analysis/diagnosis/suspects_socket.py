"""Suspects behind the node's rules: the kubelet's socket and its cgroup, connection tracking, checksums, packet sizes."""

from agent.analysis.diagnosis.catalog.node import BAD_CHECKSUM, CGROUP_FILTER, CONNTRACK_FULL, LISTEN_OVERFLOW, MTU_MISMATCH
from agent.analysis.diagnosis.scene import Scene
from agent.analysis.diagnosis.suspects import Alibi, Proof, Word, let_through, rise, timed_out
from agent.model.probe import ProbeResult
from agent.model.report import Remedy

_WAITED = 0.5
_SYSTEMD = "sd_fw_"  # systemd's programs: sd_fw_ingress, sd_fw_egress (src/core/bpf-firewall.c)


def cgroup_filter(scene: Scene) -> Word:
    """The kubelet's socket threw the packet away, and not because its queue was full: a filter of its cgroup did."""
    around, evidence = scene.around, scene.around.evidence
    filters = [item for item in evidence.programs if item.hook == "cgroup ingress"]
    unread = next((item.why for item in evidence.unread if "cgroup" in item.what), "")
    overflows = rise(around.node, "TcpExtListenDrops")
    if timed_out(scene) and let_through(scene) and around.drops and not overflows and (filters or unread):
        seen = f"the listener on port {scene.identity.kubelet_port} dropped {around.drops} packet(s) during the probe"
        named = " and ".join(f"{item.name or f'program {item.number}'} on cgroup {item.where}" for item in filters)
        found = (
            f"the BPF filter {named}"
            if filters
            else f"a filter that may not be seen here ({unread}); a cgroup's is the usual one"
        )
        message = f"Every rule accepts the packet, and the kubelet's own socket throws it away by {found}."
        properties = tuple(
            f"{key}={value}" for key, value in (evidence.unit.properties if evidence.unit else {}).items() if value
        )
        return Proof(
            CGROUP_FILTER, message, (seen, *properties), _allow(scene, systemd=any(_is_systemd(item.name) for item in filters))
        )
    if around.drops == 0:
        return Alibi("a filter on the kubelet's socket or cgroup", "the kubelet's listener dropped no packet during the probe")
    if around.known and evidence.cgroup and not filters and not unread:
        return Alibi("a cgroup BPF filter", f"none hangs on {evidence.cgroup} or above")
    return None


def _is_systemd(name: str) -> bool:
    return name.startswith(_SYSTEMD)


def _allow(scene: Scene, *, systemd: bool) -> Remedy:
    unit = scene.around.evidence.unit
    if not systemd or unit is None:
        return Remedy(
            command="bpftool cgroup tree",
            owner="whoever attached the filter",
            note="systemd attaches one for IPAddressDeny= of the kubelet's unit or of a slice above it.",
        )
    pods = " ".join(scene.identity.pod_cidrs)
    return Remedy(
        command=f"systemctl set-property --runtime {unit.name} IPAddressAllow='{pods}'",
        persistent={"systemd": f"a drop-in of {unit.name} with [Service] IPAddressAllow={pods}"},
        owner=f"systemd, {unit.name}",
    )


def listen_overflow(scene: Scene) -> Word:
    """The kubelet does not take its new connections."""
    count = rise(scene.around.node, "TcpExtListenOverflows")
    if timed_out(scene) and let_through(scene) and count and scene.around.drops:
        seen = (
            f"TcpExtListenOverflows rose by {count} during the probe",
            f"the listener dropped {scene.around.drops} packet(s)",
        )
        message = (
            "The packet reaches the kubelet's socket, whose queue of new connections is full: the kubelet does not take them."
        )
        note = "The kubelet is stuck or overloaded: look at its log, its CPU and its goroutines before you restart it."
        command = f"ss -ltnp 'sport = :{scene.identity.kubelet_port}'; journalctl -u kubelet -n 50 --no-pager"
        return Proof(LISTEN_OVERFLOW, message, seen, Remedy(command=command, owner="kubelet", note=note))
    if scene.around.node is not None and not count:
        return Alibi("a full accept queue", "TcpExtListenOverflows did not rise during the probe")
    return None


def conntrack(scene: Scene) -> Word:
    """No room for a new connection."""
    around, sysctls = scene.around, scene.around.evidence.sysctls
    filled = f"{sysctls.get('nf_conntrack_count', '?')} of {sysctls.get('nf_conntrack_max', '?')} entries"
    for place, counted in (("node", around.node), ("pod", around.pod)):
        count = rise(counted, "conntrack drop")
        if timed_out(scene) and count:
            message = (
                f"The {place}'s connection tracking table has no room ({filled} on the node), and new connections are dropped."
            )
            command = "sysctl -w net.netfilter.nf_conntrack_max=$(( $(sysctl -n net.netfilter.nf_conntrack_max) * 2 ))"
            remedy = Remedy(command=command, owner="kube-proxy", note="kube-proxy sets it from --conntrack-max-per-core.")
            return Proof(CONNTRACK_FULL, message, (f"conntrack's `drop` rose by {count} during the probe", filled), remedy)
    if around.node is not None and "nf_conntrack_max" in sysctls:
        return Alibi("a full conntrack table", f"it has {filled} and dropped nothing during the probe")
    return None


def checksum(scene: Scene) -> Word:
    """The packet or its answer arrives damaged."""
    for place, counted in (("node", scene.around.node), ("pod", scene.around.pod)):
        count = rise(counted, "TcpInCsumErrors")
        if timed_out(scene) and count:
            seen = f"TcpInCsumErrors of the {place} rose by {count} during the probe"
            message = f"TCP segments reach the {place} with a wrong checksum and are dropped there without a word."
            ways = [name.partition(" ")[2] for name in scene.around.evidence.mtus if name.startswith("node ")]
            command = f"ethtool -K {ways[-1]} tx off" if ways else ""
            remedy = Remedy(command=command, note="Usually checksum offload of a veth or overlay device: turn it off there.")
            return Proof(BAD_CHECKSUM, message, (seen,), remedy)
    if scene.around.node is not None and scene.around.pod is not None:
        return Alibi("checksum errors", "TcpInCsumErrors rose neither on the node nor in the pod")
    return None


def packet_size(scene: Scene, probe: ProbeResult) -> Proof | None:
    """The connect worked, the handshake's large packets do not come: two ends of one cable disagree about their size.

    Only where the same kubelet does answer the host's own handshake: one that hangs would look the same from the pod.
    """
    mtus, host = scene.around.evidence.mtus, scene.host_probe
    if host is None or host.tls is None or not host.tls.ok:
        return None
    # A handshake that is refused is so within milliseconds; one whose packets are lost waits for its deadline.
    if probe.tls is None or probe.tls.ok or probe.tls.seconds < _WAITED or len(set(mtus.values())) < 2:
        return None
    sizes = ", ".join(f"{name} {size}" for name, size in mtus.items())
    message = f"TCP connects, and the TLS handshake's larger packets do not come through: the MTUs on the way differ ({sizes})."
    smallest = min(mtus.values())
    note = f"Set one MTU for the pod network in the CNI's configuration; {smallest} is the smallest on this way."
    return Proof(
        MTU_MISMATCH, message, (f"MTUs: {sizes}", "the host's own handshake works"), Remedy(owner="the CNI plugin", note=note)
    )
