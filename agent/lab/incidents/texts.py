"""Rulesets of owners, in the shape that each project writes them, reduced to what this packet can meet. Our own words.

Chains by name, and what INPUT itself says; `agent.lab.rules` turns them into either backend's text.
"""

from collections.abc import Sequence

from agent.lab.rules import POD_CIDR, Chains

UFW_INPUT = (
    "-j ufw-before-logging-input",
    "-j ufw-before-input",
    "-j ufw-after-input",
    "-j ufw-after-logging-input",
    "-j ufw-reject-input",
    "-j ufw-track-input",
)


def ufw(*user: str) -> Chains:
    """ufw's chains for incoming packets; `user` are the lines of ufw-user-input."""
    return {
        "ufw-before-logging-input": (),
        "ufw-before-input": (
            "-i lo -j ACCEPT",
            "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
            "-m conntrack --ctstate INVALID -j DROP",
            "-p icmp -m icmp --icmp-type 8 -j ACCEPT",
            "-j ufw-not-local",
            "-j ufw-user-input",
        ),
        "ufw-not-local": (
            "-m addrtype --dst-type LOCAL -j RETURN",
            "-m addrtype --dst-type MULTICAST -j RETURN",
            "-m addrtype --dst-type BROADCAST -j RETURN",
            "-j DROP",
        ),
        "ufw-user-input": user,
        "ufw-after-input": ("-p udp -m udp --dport 137 -j ufw-skip-to-policy-input",),
        "ufw-skip-to-policy-input": ("-j DROP",),
        "ufw-after-logging-input": ('-m limit --limit 3/min --limit-burst 10 -j LOG --log-prefix "[UFW BLOCK] "',),
        "ufw-reject-input": (),
        "ufw-track-input": (),
    }


UFW_NODES = ("-p tcp -m tcp --dport 22 -j ACCEPT", "-s 172.31.16.0/20 -j ACCEPT")

FIREWALLD_INPUT = (
    "-m conntrack --ctstate RELATED,ESTABLISHED,DNAT -j ACCEPT",
    "-i lo -j ACCEPT",
    "-j INPUT_direct",
    "-j INPUT_ZONES",
    "-m conntrack --ctstate INVALID -j DROP",
    "-j REJECT --reject-with icmp-host-prohibited",
)


def firewalld(*sources: str) -> Chains:
    """firewalld's iptables backend, as CentOS 7 has it: the `sources` are in the trusted zone, everything else in public."""
    return {
        "INPUT_direct": (),
        "INPUT_ZONES": (*(f"-s {source} -g IN_trusted" for source in sources), "-g IN_public"),
        "IN_trusted": ("-j ACCEPT",),
        "IN_public": ("-j IN_public_allow", "-p icmp -j ACCEPT"),
        "IN_public_allow": ("-p tcp -m tcp --dport 22 -m conntrack --ctstate NEW,UNTRACKED -j ACCEPT",),
    }


KUBE_ROUTER_INPUT = ("-m comment --comment kube-router-netpol -j KUBE-ROUTER-INPUT",)


def kube_router(pods: Sequence[str], *policy: str) -> Chains:
    """kube-router's network policy, alone or inside k3s: each pod's own chain marks what its `policy` lines allow."""
    own = dict(zip(pods, ("KUBE-POD-FW-LAB5TQXNZ2MSWQEY", "KUBE-POD-FW-LAB6H2VYKQ4DJMZA"), strict=False))
    return {
        "KUBE-ROUTER-INPUT": tuple(f"-s {pod} -m comment --comment netpol -j {chain}" for pod, chain in own.items()),
        **{
            chain: (
                "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
                f"-s {pod} -j KUBE-NWPLCY-LABV3UZ4CWGH7KRA",
                "-m mark ! --mark 0x10000/0x10000 -j REJECT --reject-with icmp-port-unreachable",
                "-j MARK --set-xmark 0x0/0x10000",
                "-j MARK --set-xmark 0x20000/0x20000",
            )
            for pod, chain in own.items()
        },
        "KUBE-NWPLCY-LABV3UZ4CWGH7KRA": policy,
    }


CALICO_INPUT = ('-m comment --comment "cali:labInput00000001" -j cali-INPUT',)


def calico(*, to_host: str, endpoint: tuple[str, ...] = (), policy: tuple[str, ...] = (), device: str = "cali+") -> Chains:
    """Felix's chains for packets to the node itself. `to_host` is DefaultEndpointToHostAction's target.

    `endpoint` is a host endpoint's chain, `policy` the pods' own egress policy; every pod's interface is known to Felix.
    """
    return {
        "cali-INPUT": (
            f"-i {device} -g cali-wl-to-host",
            "-m mark --mark 0x10000/0x10000 -j ACCEPT",
            "-j MARK --set-xmark 0x0/0xf0000",
            "-j cali-from-host-endpoint",
            "-m mark --mark 0x10000/0x10000 -j ACCEPT",
        ),
        "cali-wl-to-host": (
            "-j cali-from-wl-dispatch",
            f'-m comment --comment "Configured DefaultEndpointToHostAction" -j {to_host}',
        ),
        "cali-from-wl-dispatch": (
            f"-i {device} -g cali-fw-lab",
            '-m comment --comment "Unknown interface" -j DROP',
        ),
        "cali-fw-lab": (
            "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
            "-m conntrack --ctstate INVALID -j DROP",
            "-j MARK --set-xmark 0x0/0x10000",
            *policy,
        ),
        "cali-from-host-endpoint": ("-j cali-fh-any",) if endpoint else (),
        **({"cali-fh-any": endpoint} if endpoint else {}),
    }


# Felix's failsafe ports for incoming packets: 10250 is not among them.
FAILSAFE = (
    "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
    "-m conntrack --ctstate INVALID -j DROP",
    "-i lo -j ACCEPT",
    "-p tcp -m multiport --dports 22,179,2379,2380,5473,6443,6666,6667 -j ACCEPT",
    "-p udp -m multiport --dports 68 -j ACCEPT",
)

KUBE_FIREWALL: Chains = {
    "KUBE-FIREWALL": (
        '-m comment --comment "kubernetes firewall for dropping marked packets" -m mark --mark 0x8000/0x8000 -j DROP',
        "! -s 127.0.0.0/8 -d 127.0.0.0/8 -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP",
    )
}


def tailscale() -> Chains:
    """What tailscaled puts into INPUT by ts-input."""
    return {
        "ts-input": (
            "-s 100.101.102.103/32 -i lo -j ACCEPT",
            "-s 100.115.92.0/23 ! -i tailscale0 -j RETURN",
            "-s 100.64.0.0/10 ! -i tailscale0 -j DROP",
        )
    }


# Canonical's image for Oracle's cloud: the last two lines of INPUT, and a chain that guards the instance's own services.
ORACLE = (
    "-m state --state RELATED,ESTABLISHED -j ACCEPT",
    "-p icmp -j ACCEPT",
    "-i lo -j ACCEPT",
    "-p udp -m udp --sport 123 -j ACCEPT",
    "-p tcp -m state --state NEW -m tcp --dport 22 -j ACCEPT",
    "-j REJECT --reject-with icmp-host-prohibited",
)
ORACLE_OUTPUT = ("-d 169.254.0.0/16 -j InstanceServices",)
ORACLE_CHAINS: Chains = {
    "InstanceServices": (
        "-d 169.254.0.2/32 -p tcp -m owner --uid-owner 0 -m tcp --dport 3260 -j ACCEPT",
        "-d 169.254.169.254/32 -p tcp -m tcp --dport 80 -j ACCEPT",
        "-d 169.254.0.0/16 -p tcp -m tcp -j REJECT --reject-with tcp-reset",
    )
}


def weave(policy: str = "") -> Chains:
    """Weave's policy controller for packets that pods send; `policy` marks what it allows."""
    return {
        "WEAVE-NPC-EGRESS": (
            "-m state --state RELATED,ESTABLISHED -j ACCEPT",
            "-m addrtype --dst-type LOCAL -m mark --mark 0x80000/0x80000 -j RETURN",
            f"-s {POD_CIDR} -m state --state NEW -j WEAVE-NPC-EGRESS-DEFAULT",
            "-m mark ! --mark 0x40000/0x40000 -j DROP",
        ),
        "WEAVE-NPC-EGRESS-DEFAULT": (policy,) if policy else (),
    }


DOCKER: Chains = {
    "DOCKER": (),
    "DOCKER-USER": ("-j RETURN",),
    "DOCKER-ISOLATION-STAGE-1": ("-j RETURN",),
}
