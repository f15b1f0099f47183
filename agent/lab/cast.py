"""Who is on stage: the kubelets, metrics-server in its pod, the cluster's DNS, programs of the control plane."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from agent.lab.behaviour import AUTHORITY, Behaviour
from agent.lab.handover import BEHAVIOUR_VARIABLE, NAME_VARIABLE, ROOT_VARIABLE
from agent.lab.incidents import Incident
from agent.lab.names import DNS_ADDRESS, RESOLV_CONF
from agent.lab.topology import LAB, METRICS_SERVER, NODE, PEER, LabNode
from agent.model.codec import to_plain

# The root directory of metrics-server's process: what its container would have in /etc and of its service account.
POD_ROOT = LAB / "metrics-server"
# As kubeadm sets kubelets up: who has no token is nobody, and tokens are shown to the API server.
_USUAL = ("--anonymous-auth=false", "--authentication-token-webhook=true", "--authorization-mode=Webhook")
_SERVICE_ACCOUNT = "var/run/secrets/kubernetes.io/serviceaccount"


@dataclass(frozen=True, slots=True)
class Actor:
    """A process to start: what it is called in complaints, where it runs, its module, its arguments and its environment.

    `group` is the cgroup that it is to run in, None for the one of whoever starts it.
    """

    name: str
    namespace: Path
    module: str
    arguments: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict)
    group: Path | None = None


def furnish(hosts: str) -> None:
    """Makes the cluster's CA and the files of metrics-server's pod. There is a token: nobody may ever read it."""
    from agent.lab.serving import make_authority  # noqa: PLC0415  a tenth of a second that most incidents do not need

    make_authority(AUTHORITY, datetime.now(UTC))
    account = POD_ROOT / _SERVICE_ACCOUNT
    for folder in (POD_ROOT / "etc", account):
        folder.mkdir(parents=True)
    (POD_ROOT / "etc/resolv.conf").write_text(RESOLV_CONF, encoding="ascii")
    (POD_ROOT / "etc/hosts").write_text(f"127.0.0.1 localhost\n{hosts}", encoding="ascii")
    (account / "ca.crt").write_bytes((AUTHORITY / "ca.crt").read_bytes())
    (account / "token").write_text("not-to-be-read", encoding="ascii")


def kubelets(incident: Incident, group: Path | None) -> Iterator[Actor]:
    """The nodes' kubelets; this node's in the cgroup `group`, and only where the incident has one."""
    if incident.kubelet:
        yield _kubelet(NODE, incident, incident.flags, incident.behaviour, group)
    yield _kubelet(PEER, incident)


def supporting(incident: Incident) -> Iterator[Actor]:
    """The processes that this incident has on stage beside the kubelets."""
    if incident.names is not None:
        told = json.dumps(to_plain(incident.names))
        yield Actor("the cluster's DNS", NODE.namespace, "agent.lab.dns", (DNS_ADDRESS, told))
    if incident.metrics_server is not None:
        told_root = {NAME_VARIABLE: "metrics-server", ROOT_VARIABLE: str(POD_ROOT)}
        yield Actor("metrics-server", METRICS_SERVER.namespace, "agent.lab.stand_in", incident.metrics_server, told_root)
    for stand_in in incident.stand_ins:
        told_name = {NAME_VARIABLE: stand_in.name, **dict(stand_in.environment)}
        yield Actor(stand_in.name, NODE.namespace, "agent.lab.stand_in", stand_in.flags, told_name)


def _kubelet(
    node: LabNode, incident: Incident, more: tuple[str, ...] = (), behaviour: Behaviour | None = None, group: Path | None = None
) -> Actor:
    addresses = ",".join(
        address for version, address in (("4", node.address), ("6", node.address6)) if version in incident.stack
    )
    given = {flag.partition("=")[0] for flag in more}
    usual = (flag for flag in (f"--node-ip={addresses}", *_USUAL) if flag.partition("=")[0] not in given)
    told = {BEHAVIOUR_VARIABLE: json.dumps(to_plain(behaviour or Behaviour()))}
    flags = (*usual, f"--hostname-override={node.name}", *more)
    return Actor(f"the kubelet of {node.name}", node.namespace, "agent.lab.kubelet", flags, told, group)
