"""The remedies of owners that are no plain firewall: what to say to Calico, Tailscale, fail2ban and network policy engines.

Their chains are rewritten by them, so the command is their own and so is the form that lasts.
"""

import shlex

from agent.analysis.diagnosis.provenance import CALICO, FAIL2BAN, TAILSCALE, Owner
from agent.model.explanation import RuleRef
from agent.model.report import Remedy

# Felix: the chain for packets of its workloads to their own host (felix/rules/static.go, ChainWorkloadToHost).
WORKLOAD_TO_HOST = "cali-wl-to-host"
# Chains of host endpoints, for packets from the endpoint to the node (felix/rules/rule_defs.go).
HOST_ENDPOINT = ("cali-from-host-endpoint", "cali-fh-")
_FELIX = 'kubectl patch felixconfiguration default --type merge -p \'{"spec":{"defaultEndpointToHostAction":"%s"}}\''


def with_own_tool(owner: Owner, rule: RuleRef, *, pods: str, node: str, port: int) -> Remedy:
    """The owner's own remedy for letting `pods` (CIDR) in to `node` (address) on TCP `port`."""
    if owner is CALICO and rule.chain == WORKLOAD_TO_HOST:
        return _endpoint_to_host()
    if owner is CALICO and rule.chain.startswith(HOST_ENDPOINT):
        return _host_endpoint(pods, port)
    if owner.policy:
        return _policy(owner, node, port)
    if owner is TAILSCALE:
        return _tailscale()
    if owner is FAIL2BAN:
        return _fail2ban(rule, pods)
    note = f"The chain belongs to {owner.name}: change it with {owner.tool}, rules put in by hand get lost."
    return Remedy(owner=owner.name, note=note)


def _endpoint_to_host() -> Remedy:
    return Remedy(
        command=_FELIX % "Accept",
        undo=_FELIX % "Drop",
        persistent={"Calico": "the same command: Felix keeps its configuration in the cluster, for every node"},
        owner=CALICO.name,
        note=(
            "Accept lets every pod reach every port of its node; with Return instead the node's own INPUT rules decide. "
            "Where Felix is configured by its environment, it is FELIX_DEFAULTENDPOINTTOHOSTACTION of calico-node."
        ),
    )


def _host_endpoint(pods: str, port: int) -> Remedy:
    rule = f"{{action: Allow, protocol: TCP, source: {{nets: [{pods}]}}, destination: {{ports: [{port}]}}}}"
    return Remedy(
        persistent={"Calico GlobalNetworkPolicy (spec)": f"selector: has(kubernetes.io/hostname), ingress: [{rule}]"},
        owner=CALICO.name,
        note=(
            f"A host endpoint denies what no policy allows, and port {port} is not among Calico's failsafe ports. The selector "
            "must be one that matches the labels of this node's host endpoint (calicoctl get hostendpoint -o wide)."
        ),
    )


def _policy(owner: Owner, node: str, port: int) -> Remedy:
    block = f"{node}/{128 if ':' in node else 32}"
    return Remedy(
        owner=owner.name,
        persistent={
            "NetworkPolicy of the pod's namespace (egress)": (
                f"- {{to: [{{ipBlock: {{cidr: {block}}}}}], ports: [{{protocol: TCP, port: {port}}}]}}"
            )
        },
        note=(
            f"Allow it in {owner.name}'s own policy ({owner.tool}): its chains are rewritten by it. A node is no pod: no "
            "podSelector finds it: it takes an ipBlock with the node's address."
        ),
    )


def _tailscale() -> Remedy:
    return Remedy(
        command="tailscale set --netfilter-mode=nodivert",
        undo="tailscale set --netfilter-mode=on",
        persistent={"Tailscale": "the same command: tailscaled keeps its preferences"},
        owner=TAILSCALE.name,
        note=(
            "Tailscale takes 100.64.0.0/10 for its own and puts its jump back on top. In nodivert its chains stay and hang "
            "nowhere: call ts-input yourself, behind an accept for the pod network. Else give pods another network."
        ),
    )


def _fail2ban(rule: RuleRef, pods: str) -> Remedy:
    jail = shlex.quote(rule.chain.partition("-")[2])
    return Remedy(
        command=f"fail2ban-client set {jail} addignoreip {pods}",
        undo=f"fail2ban-client set {jail} delignoreip {pods}",
        persistent={"fail2ban (/etc/fail2ban/jail.local, [DEFAULT])": f"ignoreip = 127.0.0.1/8 ::1 {pods}"},
        owner=FAIL2BAN.name,
        note=(
            f"This keeps it from banning pods again; the ban in force is lifted by: fail2ban-client set {jail} unbanip, "
            "followed by the pod's address."
        ),
    )
