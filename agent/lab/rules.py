"""Firewall text of a node on stage: what each backend's own restore command is fed.

Every iptables-shaped incident is one list of INPUT rules, written once and loaded by either backend, because the same rules
must give the same diagnosis wherever they live.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from agent.model.ruleset import Backend

# Every pod network of the cluster; only what leaves it is masqueraded, as flannel and kindnet do.
CLUSTER_CIDR = "10.244.0.0/16"
POD_CIDR = "10.244.4.0/24"

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
    """Input of `iptables-legacy-restore`, of `iptables-nft-restore` and of `nft -f`; an empty text is not loaded."""

    legacy: str = ""
    nft: str = ""
    native: str = ""


def filter_table(*rules: str, policy: str = "ACCEPT", output: Sequence[str] = ()) -> str:
    """The filter table with these rules of INPUT and of OUTPUT (each from `-m` or `-s` on, without `-A INPUT`)."""
    appended = "".join([*(f"-A INPUT {rule}\n" for rule in rules), *(f"-A OUTPUT {rule}\n" for rule in output)])
    return f"*filter\n:INPUT {policy} [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n{appended}COMMIT\n"


def on_either(rules: Sequence[str], policy: str = "ACCEPT", output: Sequence[str] = ()) -> dict[Backend, Rules]:
    """The same rules of INPUT and OUTPUT and the masquerade, once for each backend."""
    text = filter_table(*rules, policy=policy, output=output) + MASQUERADE
    return {Backend.LEGACY: Rules(legacy=text), Backend.NFT: Rules(nft=text)}
