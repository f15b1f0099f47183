"""Firewall text of a node on stage: what each backend's own restore command is fed.

Every iptables-shaped incident is one list of INPUT rules, written once and loaded by either backend, because the same rules
must give the same diagnosis wherever they live.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from agent.model.ruleset import Backend

Chains = Mapping[str, Sequence[str]]

# Every pod network of the cluster; only what leaves it is masqueraded, as flannel and kindnet do.
CLUSTER_CIDR = "10.244.0.0/16"
POD_CIDR = "10.244.4.0/24"
POD_CIDR6 = "fd00:10:244:4::/64"
NODE_IP = "172.31.16.124"

MASQUERADE = f"""*nat
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
-A POSTROUTING -s {POD_CIDR} ! -d {CLUSTER_CIDR} -j MASQUERADE
COMMIT
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """Input of `iptables-legacy-restore`, of `iptables-nft-restore` and of `nft -f`; an empty text is not loaded.

    `legacy6` and `nft6` are for the ip6tables programs; `ipset` is restored first, because rules ask for its sets.
    """

    legacy: str = ""
    nft: str = ""
    native: str = ""
    legacy6: str = ""
    nft6: str = ""
    ipset: str = ""


def filter_table(*rules: str, policy: str = "ACCEPT", output: Sequence[str] = (), chains: Chains = MappingProxyType({})) -> str:
    """The filter table with these rules of INPUT and of OUTPUT (each from `-m` or `-s` on, without `-A INPUT`).

    `chains` are further chains and their rules, by name.
    """
    declared = "".join(f":{name} - [0:0]\n" for name in chains)
    lines = {"INPUT": rules, "OUTPUT": output, **chains}
    appended = "".join(f"-A {chain} {rule}\n" for chain, content in lines.items() for rule in content)
    return f"*filter\n:INPUT {policy} [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n{declared}{appended}COMMIT\n"


def on_either(  # noqa: PLR0913 - each is one part of a text
    rules: Sequence[str],
    *,
    policy: str = "ACCEPT",
    output: Sequence[str] = (),
    chains: Chains = MappingProxyType({}),
    more: str = "",
    ipset: str = "",
    pods: str = POD_CIDR,
) -> dict[Backend, Rules]:
    """The same rules of INPUT and OUTPUT and the masquerade of `pods`, once for each backend; `more` are tables before them."""
    masquerade = MASQUERADE.replace(POD_CIDR, pods)
    text = more + filter_table(*rules, policy=policy, output=output, chains=chains) + masquerade
    return {Backend.LEGACY: Rules(legacy=text, ipset=ipset), Backend.NFT: Rules(nft=text, ipset=ipset)}


def on_either_version(rules: Sequence[str], rules6: Sequence[str], **parts: Any) -> dict[Backend, Rules]:
    """Rules of INPUT for IPv4 and for IPv6, once for each backend; the masquerade is IPv4's alone."""
    text, text6 = filter_table(*rules, **parts) + MASQUERADE, filter_table(*rules6, **parts)
    return {Backend.LEGACY: Rules(legacy=text, legacy6=text6), Backend.NFT: Rules(nft=text, nft6=text6)}
