"""The same opening by hand: as a command with its undo, and in the words of each tool that keeps rules over a reboot."""

import shlex

from agent.model.plan import Flow, Place

_NOBODY_ENDS_IT = "kubereach"


def command(flow: Flow, place: Place, position: int) -> tuple[str, str]:
    """The command and its undo. Put in by hand it has no end of its own, and no fix's id."""
    program = f"ip{'6' if flow.version == 6 else ''}tables-{place.backend}"
    chain, rule = shlex.quote(place.chain), by_hand(flow)
    return f"{program} -w -I {chain} {position} {rule}", f"{program} -w -D {chain} {rule}"


def by_hand(flow: Flow) -> str:
    """The rule from the source on."""
    return f"-s {flow.source} -d {flow.destination} -p tcp --dport {flow.port} -m comment --comment {_NOBODY_ENDS_IT} -j ACCEPT"


def persistent(flow: Flow, place: Place) -> dict[str, str]:
    """By file or tool. kubereach writes none of these: whoever owns the file does, once the cause is understood."""
    line = f"-A {place.chain} {by_hand(flow)}"
    where = f"    (directly before: {place.before})" if place.before else "    (as the last rule of its chain)"
    files = ("ip6tables", "rules.v6", "ip6", "ipv6") if flow.version == 6 else ("iptables", "rules.v4", "ip", "ipv4")
    rich = (
        f'rule family="{files[3]}" source address="{flow.source}" destination address="{flow.destination}" '
        f'port port="{flow.port}" protocol="tcp" accept'
    )
    return {
        f"iptables-services (/etc/sysconfig/{files[0]})": f"{line}{where}",
        f"netfilter-persistent (/etc/iptables/{files[1]})": f"{line}{where}",
        "firewalld": f"firewall-cmd --permanent --add-rich-rule={shlex.quote(rich)} && firewall-cmd --reload",
        "ufw": f"ufw insert 1 allow from {flow.source} to {flow.destination} port {flow.port} proto tcp",
        "nftables (/etc/nftables.conf)": (
            f"{files[2]} saddr {flow.source} {files[2]} daddr {flow.destination} tcp dport {flow.port} counter accept "
            f'comment "{_NOBODY_ENDS_IT}"    (in the input chain, before what drops or rejects)'
        ),
    }
