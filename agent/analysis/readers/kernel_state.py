"""Tests that only the running kernel can answer, by iptables' name of the extension, with what the answer hangs on."""

from collections.abc import Callable
from dataclasses import dataclass

from agent.analysis.readers.iptables_options import Option
from agent.model.ruleset import Match, Unsure


@dataclass(frozen=True, slots=True)
class Asked:
    """The options of one extension, the family (`ip`, `ip6`) and the protocol that `-p` names, None without it."""

    options: tuple[Option, ...]
    family: str
    protocol: int | None


Reader = Callable[[Asked], list[Match]]

_STATE = {
    "ah": "it asks for the AH header, which is not followed here",
    "bpf": "a BPF program decides",
    "cgroup": "the sending process's cgroup decides",
    "cluster": "a hash over the flow and the cluster's node count decides",
    "connbytes": "the flow's byte and packet counts are kernel state",
    "connlabel": "the flow's labels are kernel state",
    "connlimit": "the number of open connections is kernel state",
    "cpu": "the CPU that handles the packet decides",
    "dccp": "it asks for parts of the DCCP header that are not followed here",
    "devgroup": "the interface's group number is kernel state",
    "dst": "it asks for an IPv6 extension header",
    "ecn": "it asks for ECN bits, which are not followed here",
    "esp": "it asks for the ESP header, which is not followed here",
    "eui64": "it asks for the sender's link-layer address",
    "frag": "it asks for an IPv6 extension header",
    "hashlimit": "a rate per flow is kernel state",
    "hbh": "it asks for an IPv6 extension header",
    "helper": "the flow's conntrack helper is kernel state",
    "ipv6header": "it asks for an IPv6 extension header",
    "ipvs": "the IPVS connection table is kernel state",
    "limit": "a rate limit is kernel state",
    "mac": "the sender's link-layer address is not in this reading",
    "nfacct": "an accounting object's quota is kernel state",
    "osf": "the sender's TCP fingerprint is not followed here",
    "physdev": "the bridge port that it asks for is not in this reading",
    "policy": "the packet's IPsec policy is kernel state",
    "quota": "what is left of a quota is kernel state",
    "quota2": "what is left of a quota is kernel state",
    "rateest": "a measured rate is kernel state",
    "realm": "the route's realm is kernel state",
    "recent": "the list of recently seen addresses is kernel state",
    "rpfilter": "the kernel's route back to the sender decides",
    "rt": "it asks for an IPv6 extension header",
    "sctp": "it asks for SCTP chunks, which are not followed here",
    "set": "the members of the ipset are not in this reading",
    "socket": "whether a local socket is open is kernel state",
    "statistic": "chance or a packet count decides",
    "string": "the packet's payload is not followed here",
    "tcp": "it asks for TCP options, which are not followed here",
    "tcpmss": "it asks for TCP options, which are not followed here",
    "time": "the kernel's clock decides",
    "u32": "it asks for raw bytes of the packet",
}


def why_unsure(name: str) -> str:
    """Why the extension's answer is maybe; for one that is not known here, that it is not understood."""
    return _STATE.get(name, f"the match {name or '(none)'} is not understood by this version")


def unsure(option: Option, why: str = "") -> Unsure:
    """The option as a test whose answer is maybe."""
    return Unsure(str(option), why or f"{option} is not understood by this version")
