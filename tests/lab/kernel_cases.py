"""Small firewalls, each with what becomes of one SYN: the cases that the model is held to the kernel by.

iptables text is loaded into both backends. A line `table CHAIN ...` is a rule (`-A` is added), `table CHAIN POLICY` a policy,
`table NAME` declares a chain. Want is the verdict, with the reply after REJECT, or MAYBE where the model must not decide.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Case:
    name: str
    want: str
    rules: str
    source: str = "pod"
    to: str = "node"
    port: int = 10250
    # Chains at one priority: steps are told of chains that the kernel need not have come to.
    unordered: bool = False


def _replies(words: str) -> list[Case]:
    return [Case(f"reject {word}", f"REJECT {word}", f"filter INPUT -j REJECT --reject-with {word}") for word in words.split()]


IPTABLES = [
    Case("empty", "ACCEPT", "filter INPUT ACCEPT"),
    Case("policy drop", "DROP", "filter INPUT DROP"),
    Case(
        "stock chain",
        "REJECT icmp-host-prohibited",
        """
        filter INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
        filter INPUT -p icmp -j ACCEPT
        filter INPUT -i lo -j ACCEPT
        filter INPUT -p tcp -m conntrack --ctstate NEW -m tcp --dport 22 -j ACCEPT
        filter INPUT -s 172.31.16.0/20 -j ACCEPT
        filter INPUT -j REJECT --reject-with icmp-host-prohibited
        """,
    ),
    Case(
        "stock chain from the host",
        "ACCEPT",
        """
        filter INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
        filter INPUT -i lo -j ACCEPT
        filter INPUT -j REJECT --reject-with icmp-host-prohibited
        """,
        source="node",
    ),
    Case("reject bare", "REJECT icmp-port-unreachable", "filter INPUT -j REJECT"),
    *_replies(
        "icmp-net-unreachable icmp-host-unreachable icmp-proto-unreachable icmp-port-unreachable "
        "icmp-net-prohibited icmp-host-prohibited icmp-admin-prohibited"
    ),
    Case("reject tcp-reset", "REJECT tcp-reset", "filter INPUT -p tcp -j REJECT --reject-with tcp-reset"),
    Case("drop port", "DROP", "filter INPUT -p tcp -m tcp --dport 10250 -j DROP"),
    Case("other port", "ACCEPT", "filter INPUT -p tcp -m tcp --dport 10251 -j DROP"),
    Case("other protocol", "ACCEPT", "filter INPUT -p udp -m udp --dport 10250 -j DROP"),
    Case("accept before drop", "ACCEPT", "filter INPUT -s 10.244.4.0/24 -j ACCEPT\nfilter INPUT -j DROP"),
    Case("accept after reject", "REJECT icmp-port-unreachable", "filter INPUT -j REJECT\nfilter INPUT -j ACCEPT"),
    # connection tracking
    Case("state new", "DROP", "filter INPUT -m state --state NEW -j DROP"),
    Case("ctstate not new", "ACCEPT", "filter INPUT -m conntrack ! --ctstate NEW -j DROP"),
    Case("ctstate established", "ACCEPT", "filter INPUT -m conntrack --ctstate ESTABLISHED,RELATED -j DROP"),
    Case("ctstate invalid", "ACCEPT", "filter INPUT -m conntrack --ctstate INVALID -j DROP"),
    Case("kube firewall negation", "DROP", "filter INPUT -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP"),
    Case("ctstate new or dnat", "DROP", "filter INPUT -m conntrack --ctstate NEW,DNAT -j DROP"),
    Case("ctstate dnat", "ACCEPT", "filter INPUT -m conntrack --ctstate DNAT -j DROP"),
    Case("ctstate not dnat", "DROP", "filter INPUT -m conntrack ! --ctstate DNAT -j DROP"),
    Case("ctstatus assured", "ACCEPT", "filter INPUT -m conntrack --ctstatus ASSURED -j DROP"),
    Case("ctstatus not assured", "DROP", "filter INPUT -m conntrack ! --ctstatus ASSURED,SEEN_REPLY -j DROP"),
    Case("ctdir original", "DROP", "filter INPUT -m conntrack --ctstate NEW --ctdir ORIGINAL -j DROP"),
    Case("ctdir reply", "ACCEPT", "filter INPUT -m conntrack --ctstate NEW --ctdir REPLY -j DROP"),
    # negation, wildcards, ranges
    Case("not source", "ACCEPT", "filter INPUT ! -s 10.244.0.0/16 -j DROP"),
    Case("not other source", "DROP", "filter INPUT ! -s 10.245.0.0/16 -j DROP"),
    Case("not destination", "ACCEPT", "filter INPUT ! -d 172.31.16.124/32 -j DROP"),
    Case("odd mask", "DROP", "filter INPUT -s 10.0.4.138/255.0.255.255 -j DROP"),
    Case("not port", "ACCEPT", "filter INPUT -p tcp -m tcp ! --dport 10250 -j DROP"),
    Case("not protocol", "ACCEPT", "filter INPUT ! -p tcp -j DROP"),
    Case("not interface", "ACCEPT", "filter INPUT ! -i cni0 -j DROP"),
    Case("interface", "DROP", "filter INPUT -i cni0 -j DROP"),
    Case("interface is a name", "ACCEPT", "filter INPUT -i cni -j DROP"),
    Case("interface pattern", "DROP", "filter INPUT -i cni+ -j DROP"),
    Case("short pattern", "DROP", "filter INPUT -i c+ -j DROP"),
    Case("whole name pattern", "DROP", "filter INPUT -i cni0+ -j DROP"),
    Case("not interface pattern", "DROP", "filter INPUT ! -i eth+ -j DROP"),
    Case("host by lo", "DROP", "filter INPUT -i lo -j DROP", source="node"),
    Case("port range", "DROP", "filter INPUT -p tcp -m tcp --dport 10000:10250 -j DROP"),
    Case("port range below", "ACCEPT", "filter INPUT -p tcp -m tcp --dport :10249 -j DROP"),
    Case("source port range", "DROP", "filter INPUT -p tcp -m tcp --sport 1024: -j DROP"),
    Case("address range", "DROP", "filter INPUT -m iprange --src-range 10.244.4.130-10.244.4.138 -j DROP"),
    Case("not address range", "ACCEPT", "filter INPUT -m iprange ! --src-range 10.244.4.1-10.244.4.200 -j DROP"),
    Case("multiport", "DROP", "filter INPUT -p tcp -m multiport --dports 22,80,10250:10259 -j DROP"),
    Case("not multiport", "ACCEPT", "filter INPUT -p tcp -m multiport ! --dports 22,10250 -j DROP"),
    Case("multiport both", "DROP", "filter INPUT -p tcp -m multiport --ports 10250 -j DROP"),
    Case("multiport sports", "ACCEPT", "filter INPUT -p tcp -m multiport --sports 10250 -j DROP"),
    Case("fragment", "ACCEPT", "filter INPUT -f -j DROP"),
    Case("not fragment", "DROP", "filter INPUT ! -f -j DROP"),
    # TCP flags
    Case("syn", "DROP", "filter INPUT -p tcp -m tcp --syn -j DROP"),
    Case("not syn", "ACCEPT", "filter INPUT -p tcp -m tcp ! --syn -m conntrack --ctstate NEW -j DROP"),
    Case("flags all none", "ACCEPT", "filter INPUT -p tcp -m tcp --tcp-flags ALL NONE -j DROP"),
    Case("flags syn of syn,ack", "DROP", "filter INPUT -p tcp -m tcp --tcp-flags SYN,ACK SYN -j DROP"),
    Case("flags syn,fin", "ACCEPT", "filter INPUT -p tcp -m tcp --tcp-flags SYN,FIN SYN,FIN -j DROP"),
    # chains
    Case(
        "nested chains",
        "DROP",
        """
        filter A
        filter B
        filter INPUT -p tcp -j A
        filter INPUT -j ACCEPT
        filter A -s 10.244.4.138/32 -j B
        filter A -j RETURN
        filter B -p udp -j ACCEPT
        filter B -j DROP
        """,
    ),
    Case(
        "return from a user chain",
        "REJECT icmp-port-unreachable",
        """
        filter A
        filter INPUT -j A
        filter INPUT -j REJECT
        filter A -p tcp -j RETURN
        filter A -j DROP
        """,
    ),
    Case(
        "return in a base chain",
        "DROP",
        """
        filter INPUT DROP
        filter INPUT -p tcp -j RETURN
        filter INPUT -j ACCEPT
        """,
    ),
    Case(
        "goto returns to the grandparent",
        "DROP",
        """
        filter A
        filter B
        filter INPUT -j A
        filter INPUT -j DROP
        filter A -g B
        filter A -j ACCEPT
        filter B -p udp -j ACCEPT
        """,
    ),
    Case(
        "goto from a base chain ends in its policy",
        "DROP",
        "filter A\nfilter INPUT DROP\nfilter INPUT -g A\nfilter INPUT -j ACCEPT\nfilter A -p udp -j ACCEPT",
    ),
    Case("empty chain", "ACCEPT", "filter A\nfilter INPUT -j A\nfilter INPUT -j ACCEPT\nfilter INPUT -j DROP"),
    Case("no mark", "DROP", "filter INPUT -m mark ! --mark 0x1 -j DROP"),
    Case("security drop", "DROP", "filter INPUT -j ACCEPT\nsecurity INPUT -p tcp -j DROP"),
    # address types
    Case("to local", "DROP", "filter INPUT -m addrtype --dst-type LOCAL -j DROP"),
    Case("not to local", "ACCEPT", "filter INPUT -m addrtype ! --dst-type LOCAL -j DROP"),
    Case("from local", "ACCEPT", "filter INPUT -m addrtype --src-type LOCAL -j DROP"),
    Case("from unicast", "DROP", "filter INPUT -m addrtype --src-type UNICAST -j DROP"),
    Case("to unicast", "ACCEPT", "filter INPUT -m addrtype --dst-type UNICAST -j DROP"),
    Case("to broadcast or multicast", "ACCEPT", "filter INPUT -m addrtype --dst-type BROADCAST,MULTICAST -j DROP"),
    Case("host is local", "DROP", "filter INPUT -m addrtype --src-type LOCAL -j DROP", source="node"),
    Case("packet type", "DROP", "filter INPUT -m pkttype --pkt-type unicast -j DROP"),
    # maybes
    Case(
        "maybe accept, then accept",
        "ACCEPT",
        """
        filter INPUT -m limit --limit 1/sec -j ACCEPT
        filter INPUT -j ACCEPT
        """,
    ),
    Case(
        "maybe log, then drop",
        "DROP",
        """
        filter L
        filter INPUT -m limit --limit 1/sec -j L
        filter INPUT -j DROP
        filter L -j RETURN
        """,
    ),
    Case("maybe accept, then drop", "MAYBE", "filter INPUT -m limit --limit 1/sec -j ACCEPT\nfilter INPUT -j DROP"),
    Case("maybe drop", "MAYBE", "filter INPUT -m statistic --mode random --probability 0.5 -j DROP"),
    Case("ttl", "MAYBE", "filter INPUT -m ttl --ttl-eq 64 -j DROP"),
    # the packet's own, below IP and in its connection
    Case("mac", "DROP", "filter INPUT -m mac --mac-source 02:00:00:00:00:02 -j DROP"),
    Case("not mac", "ACCEPT", "filter INPUT -m mac ! --mac-source 02:00:00:00:00:02 -j DROP"),
    Case("lo has no mac", "ACCEPT", "filter INPUT -m mac ! --mac-source 02:00:00:00:00:02 -j DROP", source="node"),
    Case("no bridge port", "ACCEPT", "filter INPUT -m physdev --physdev-in cni0 -j DROP"),
    Case("not this bridge port", "DROP", "filter INPUT -m physdev ! --physdev-in cni0 -j DROP"),
    Case("any bridge port", "ACCEPT", "filter INPUT -m physdev --physdev-is-in -j DROP"),
    Case("bridged", "ACCEPT", "filter FORWARD ACCEPT\nfilter INPUT -m physdev --physdev-is-bridged -j DROP"),
    Case("not bridged", "DROP", "filter INPUT -m physdev ! --physdev-is-bridged -j DROP"),
    Case("ctproto", "DROP", "filter INPUT -m conntrack --ctproto 6 -j DROP"),
    Case("not ctproto", "ACCEPT", "filter INPUT -m conntrack ! --ctproto 6 -j DROP"),
    Case("ctorigsrc", "DROP", "filter INPUT -m conntrack --ctorigsrc 10.244.4.0/24 -j DROP"),
    Case("not ctorigdst", "ACCEPT", "filter INPUT -m conntrack ! --ctorigdst 172.31.16.124/32 -j DROP"),
    Case("ctorigsrcport", "DROP", "filter INPUT -m conntrack --ctorigsrcport 1024:65535 -j DROP"),
    Case("ctreplsrc is not followed", "MAYBE", "filter INPUT -m conntrack --ctreplsrc 172.31.16.124/32 -j DROP"),
    Case("ah is another protocol", "ACCEPT", "filter INPUT -p ah -m ah --ahspi 5 -j DROP"),
    Case("esp is another protocol", "ACCEPT", "filter INPUT -p esp -m esp ! --espspi 5 -j DROP"),
    Case("sctp is another protocol", "ACCEPT", "filter INPUT -p sctp -m sctp --chunk-types any INIT -j DROP"),
    Case("dccp is another protocol", "ACCEPT", "filter INPUT -p dccp -m dccp ! --dccp-types REQUEST -j DROP"),
    Case("icmp is another protocol", "ACCEPT", "filter INPUT -p icmp -m icmp --icmp-type 8 -j DROP"),
    Case("realm is not followed", "MAYBE", "filter INPUT -m realm --realm 0x0 -j DROP"),
    Case("socket is not followed", "MAYBE", "filter INPUT -m socket -j DROP"),
    Case("cpu is not followed", "MAYBE", "filter INPUT -m cpu --cpu 0 -j DROP"),
    Case("time is not followed", "MAYBE", "filter INPUT -m time --timestart 00:00:00 --timestop 23:59:59 -j DROP"),
    Case("u32 is not followed", "MAYBE", 'filter INPUT -m u32 --u32 "0x6&0xff=0x6" -j DROP'),
    # the answer
    Case("answer dropped", "ACCEPT", "filter OUTPUT -d 10.244.4.0/24 -j DROP"),
    Case("answer dropped by policy", "ACCEPT", "filter OUTPUT DROP\nfilter OUTPUT -o lo -j ACCEPT"),
    Case("answer rejected", "ACCEPT", "filter OUTPUT -o cni0 -p tcp -j REJECT --reject-with tcp-reset"),
    Case("answer is established", "ACCEPT", "filter OUTPUT DROP\nfilter OUTPUT -m state --state ESTABLISHED -j ACCEPT"),
    Case("answer is not new", "ACCEPT", "filter OUTPUT -m conntrack --ctstate NEW,INVALID,RELATED -j DROP"),
    Case("answer dropped as established", "ACCEPT", "filter OUTPUT -m conntrack --ctstate ESTABLISHED -j DROP"),
    Case("answer goes in the reply direction", "ACCEPT", "filter OUTPUT -m conntrack --ctdir REPLY -j DROP"),
    Case("answer is no original", "ACCEPT", "filter OUTPUT -m conntrack --ctdir ORIGINAL -j DROP"),
    Case("answered is seen", "ACCEPT", "filter OUTPUT -m conntrack --ctstatus SEEN_REPLY -j DROP"),
    Case("answered is confirmed", "ACCEPT", "filter OUTPUT -m conntrack ! --ctstatus CONFIRMED -j DROP"),
    Case("answered is not assured", "ACCEPT", "filter OUTPUT -m conntrack --ctstatus ASSURED,EXPECTED -j DROP"),
    Case("answer remembers who asked", "ACCEPT", "filter OUTPUT -m conntrack --ctorigsrc 10.244.4.138/32 -j DROP"),
    Case("answer is syn and ack", "ACCEPT", "filter OUTPUT -p tcp -m tcp --tcp-flags SYN,ACK SYN,ACK -j DROP"),
    Case("answer is no syn", "ACCEPT", "filter OUTPUT -p tcp -m tcp --syn -j DROP"),
    Case("answer by chance", "ACCEPT", "filter OUTPUT -o cni0 -m statistic --mode random --probability 0.5 -j DROP"),
    Case("comment", "DROP", 'filter INPUT -p tcp -m comment --comment "a \\"quoted\\" -j ACCEPT" -j DROP'),
]

IP6TABLES = [
    Case("v6 policy", "DROP", "filter INPUT DROP", to="node6"),
    *[
        Case(f"v6 reject {word}", f"REJECT {word}", f"filter INPUT -p tcp -j REJECT --reject-with {word}", to="node6")
        for word in [
            "icmp6-no-route",
            "icmp6-adm-prohibited",
            "icmp6-addr-unreachable",
            "icmp6-port-unreachable",
            "icmp6-policy-fail",
            "icmp6-reject-route",
            "tcp-reset",
        ]
    ],
    Case("v6 source", "DROP", "filter INPUT -s fd00:10:244:4::/64 -j DROP", to="node6"),
    Case("v6 not source", "ACCEPT", "filter INPUT ! -s fd00:10::/16 -p tcp -j DROP", to="node6"),
    Case("v6 to local", "DROP", "filter INPUT -p tcp -m addrtype --dst-type LOCAL -j DROP", to="node6"),
    Case("v6 answer dropped", "ACCEPT", "filter OUTPUT -d fd00:10:244:4::/64 -p tcp -j DROP", to="node6"),
    Case("v6 esp is another protocol", "ACCEPT", "filter INPUT -p esp -m esp --espspi 5 -j DROP", to="node6"),
    Case("v6 mac", "DROP", "filter INPUT -p tcp -m mac --mac-source 02:00:00:00:00:02 -j DROP", to="node6"),
    Case("v6 from local", "ACCEPT", "filter INPUT -p tcp -m addrtype --src-type LOCAL -j DROP", to="node6"),
]
