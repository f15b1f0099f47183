"""Small nft rulesets, and all backends together: cases as in `kernel_cases`, in nft's own text."""

from tests.lab.kernel_cases import Case


def _chain(rules: str, *, policy: str = "accept", hook: str = "input", priority: str = "0") -> str:
    return f"chain c {{ type filter hook {hook} priority {priority}; policy {policy};\n{rules}\n}}"


def _table(body: str, *, family: str = "inet", name: str = "t") -> str:
    return f"table {family} {name} {{\n{body}\n}}\n"


def _rules(rules: str, **how: str) -> str:
    return _table(_chain(rules, **how))


NFT = [
    Case("nft policy drop", "DROP", _rules("", policy="drop")),
    Case("icmpx admin-prohibited", "REJECT icmp-admin-prohibited", _rules("counter reject with icmpx admin-prohibited")),
    Case("icmpx no-route", "REJECT icmp-net-unreachable", _rules("counter reject with icmpx no-route")),
    Case("icmpx host-unreachable", "REJECT icmp-host-unreachable", _rules("counter reject with icmpx host-unreachable")),
    Case("nft reject bare", "REJECT icmp-port-unreachable", _rules("counter reject")),
    Case("nft reject tcp reset", "REJECT tcp-reset", _rules("tcp dport 10250 counter reject with tcp reset")),
    Case("nft reject icmp", "REJECT icmp-host-prohibited", _rules("counter reject with icmp host-prohibited")),
    Case(
        "icmpx v6",
        "REJECT icmp6-adm-prohibited",
        _rules("tcp dport 10250 counter reject with icmpx admin-prohibited"),
        to="node6",
    ),
    Case("v4 rule and v6 packet", "ACCEPT", _rules("ip saddr 0.0.0.0/0 tcp dport 10250 counter drop"), to="node6"),
    Case("v6 rule and v4 packet", "ACCEPT", _rules("ip6 saddr ::/0 tcp dport 10250 counter drop")),
    Case("nfproto", "DROP", _rules("meta nfproto ipv4 tcp dport 10250 counter drop")),
    Case("l4proto set", "DROP", _rules("meta l4proto { tcp, udp } th dport 10250 counter drop")),
    Case("vmap drop", "DROP", _rules("tcp dport vmap { 22 : accept, 10250 : drop }")),
    Case("vmap miss", "DROP", _rules("tcp dport vmap { 22 : accept, 80-90 : accept }\ncounter drop")),
    Case(
        "vmap jump",
        "DROP",
        _table("chain a { counter drop\n}\n" + _chain("iifname vmap { lo : accept, cni0 : jump a }")),
    ),
    Case(
        "vmap goto",
        "DROP",
        _table("chain a { udp dport 1 accept\n}\n" + _chain("iifname vmap { cni0 : goto a }\naccept", policy="drop")),
    ),
    Case(
        "ct state vmap",
        "ACCEPT",
        _rules("ct state vmap { established : accept, related : accept, invalid : drop, new : accept }\ndrop"),
    ),
    Case("ct state new", "DROP", _rules("ct state new counter drop")),
    Case("ct state not new", "ACCEPT", _rules("ct state != new counter drop")),
    Case("ct state set", "DROP", _rules("ct state { new, untracked } counter drop")),
    Case("ct status dnat", "ACCEPT", _rules("ct status dnat counter drop")),
    Case("ct direction", "DROP", _rules("ct state new ct direction original counter drop")),
    Case("ct mark", "DROP", _rules("ct mark set 0x5\nct mark & 0xf == 0x5 counter drop")),
    Case("mark from ct mark", "DROP", _rules("ct mark set 0x15\nmeta mark set ct mark & 0xf\nmeta mark 0x5 counter drop")),
    Case(
        "set",
        "DROP",
        _table("set s { type ipv4_addr; elements = { 10.244.4.138, 10.0.0.1 }\n}\n" + _chain("ip saddr @s counter drop")),
    ),
    Case(
        "not in set",
        "ACCEPT",
        _table(
            "set s { type ipv4_addr; elements = { 10.244.4.138 }\n}\n" + _chain("ip saddr != @s ip protocol tcp counter drop")
        ),
    ),
    Case(
        "interval set",
        "DROP",
        _table(
            "set s { type ipv4_addr; flags interval; elements = { 10.0.0.0/9, 10.244.4.128-10.244.4.140 }\n}\n"
            + _chain("ip saddr @s counter drop")
        ),
    ),
    Case("anonymous set", "DROP", _rules("tcp dport { 80, 443, 10000-10250 } counter drop")),
    Case("range", "ACCEPT", _rules("tcp dport != 10000-10250 counter drop")),
    Case("concatenation", "DROP", _rules("ip saddr . tcp dport { 10.244.4.138 . 10250, 10.0.0.1 . 22 } counter drop")),
    Case("concatenation miss", "ACCEPT", _rules("ip saddr . tcp dport { 10.244.4.138 . 22, 10.0.0.1 . 10250 } counter drop")),
    Case(
        "concatenated verdict map",
        "DROP",
        _table(
            "map m { type ipv4_addr . inet_proto . inet_service : verdict\n"
            "elements = { 172.31.16.124 . tcp . 10250 : drop }\n}\n" + _chain("ip daddr . meta l4proto . th dport vmap @m")
        ),
    ),
    Case("iifname", "DROP", _rules('iifname "cni*" counter drop')),
    Case("iif", "DROP", _rules('iif "cni0" counter drop')),
    Case("iifname set", "ACCEPT", _rules('iifname { "lo", "eth0" } counter drop')),
    Case("oifname at input", "ACCEPT", _rules('oifname "cni0" counter drop')),
    Case("not oifname at input", "DROP", _rules('oifname != "eth0" tcp dport 10250 counter drop')),
    Case("fib daddr local", "DROP", _rules("fib daddr type local tcp dport 10250 counter drop")),
    Case("fib saddr unicast", "DROP", _rules("fib saddr type unicast tcp dport 10250 counter drop")),
    Case("fib daddr not local", "ACCEPT", _rules("fib daddr type != local counter drop")),
    Case("fib saddr local or broadcast", "ACCEPT", _rules("fib saddr type { local, broadcast } counter drop")),
    Case("fib local at v6", "DROP", _rules("fib daddr type local tcp dport 10250 counter drop"), to="node6"),
    Case("tcp flags masked", "DROP", _rules("tcp flags & (fin|syn|rst|ack) == syn counter drop")),
    Case("tcp flags short", "DROP", _rules("tcp flags syn counter drop")),
    Case("tcp flags ack", "ACCEPT", _rules("tcp flags & ack == ack ct state new counter drop")),
    Case("prefix", "DROP", _rules("ip saddr 10.244.0.0/16 counter drop")),
    Case("or of chains", "ACCEPT", _table("chain a { tcp dport 10250 accept\n}\n" + _chain("jump a\ncounter drop"))),
    Case("nft return", "DROP", _table("chain a { tcp dport 10250 return\naccept\n}\n" + _chain("jump a\ncounter drop"))),
    Case(
        "goto grandparent",
        "DROP",
        _table("chain b { udp dport 1 accept\n}\nchain a { goto b\n}\n" + _chain("jump a\ncounter drop")),
    ),
    Case(
        "accept is not final",
        "DROP",
        _table(_chain("counter accept", priority="-10")) + _table(_chain("counter drop"), name="u"),
    ),
    Case("drop at prerouting", "DROP", _rules("tcp dport 10250 counter drop", hook="prerouting", priority="-300")),
    Case(
        "reject at prerouting",
        "REJECT icmp-port-unreachable",
        _rules("tcp dport 10250 counter reject", hook="prerouting", priority="-150"),
    ),
    Case(
        "ct state before conntrack",
        "DROP",
        _rules("ct state invalid tcp dport 10250 counter drop", hook="prerouting", priority="-300"),
    ),
    Case(
        "ct mark before conntrack",
        "ACCEPT",
        _rules("ct mark != 5 tcp dport 10250 counter drop", hook="prerouting", priority="-300"),
    ),
    Case(
        "nft notrack",
        "DROP",
        _table(_chain("notrack", hook="prerouting", priority="-300"))
        + _table(_chain("ct state untracked counter drop"), name="u"),
    ),
    Case(
        "notrack too late",
        "DROP",
        _table(_chain("notrack", hook="prerouting", priority="-150")) + _table(_chain("ct state new counter drop"), name="u"),
    ),
    Case(
        "nft redirect",
        "DROP",
        _table(
            "chain n { type nat hook prerouting priority -100;\ntcp dport 10250 counter redirect to :8080\n}\n"
            + _chain("tcp dport 8080 ct status dnat counter drop")
        ),
    ),
    Case(
        "nat runs at its own priority",
        "DROP",
        _table(
            "chain n { type nat hook prerouting priority 200;\ntcp dport 10250 counter redirect to :8080\n}\n"
            + _chain("tcp dport 8080 counter drop", hook="prerouting", priority="-50")
        ),
    ),
    Case(
        "first nat chain wins",
        "DROP",
        _table(
            "chain n { type nat hook prerouting priority -110;\ntcp dport 10250 counter redirect to :8080\n}\n"
            "chain m { type nat hook prerouting priority -90;\ntcp dport 1-65535 counter redirect to :9\n}\n"
            + _chain("tcp dport 8080 counter drop")
        ),
    ),
    Case(
        "nft dnat",
        "DROP",
        _table(
            "chain n { type nat hook prerouting priority -100;\ntcp dport 10250 counter dnat ip to 10.244.4.1:8080\n}\n"
            + _chain("ip daddr 10.244.4.1 tcp dport 8080 counter drop")
        ),
    ),
    Case(
        "nat chains are not asked without conntrack",
        "MAYBE",
        _table("chain n { type nat hook prerouting priority -100;\ntcp dport 10250 counter drop\n}"),
    ),
    Case(
        "a drop in a nat chain",
        "DROP",
        _table("chain n { type nat hook prerouting priority -100;\ntcp dport 10250 counter drop\n}\n" + _chain("ct state new")),
    ),
    Case("at conntrack's own priority", "MAYBE", _rules("ct state new counter drop", hook="prerouting", priority="-200")),
    Case(
        "a drop below IP",
        "MAYBE",
        _table(
            'chain i { type filter hook ingress device "cni0" priority 0;\ntcp dport 10250 counter drop\n}', family="netdev"
        ),
    ),
    Case("packet type", "DROP", _rules("meta pkttype host tcp dport 10250 counter drop")),
    Case("mark kept", "ACCEPT", _rules("meta mark set meta mark and 0xff or 0x10\nmeta mark != 0x10 counter drop")),
    Case(
        "mark set before a test",
        "DROP",
        _rules("counter meta mark set meta mark | 0x10 tcp dport 22 accept\nmeta mark 0x10 counter drop"),
    ),
    Case("limit", "MAYBE", _rules("limit rate 5/second counter accept\ncounter drop")),
    Case(
        "drop and drop at one priority",
        "DROP",
        _table(_chain("counter drop")) + _table(_chain("counter drop"), name="u"),
        unordered=True,
    ),
    Case(
        "drop and reject at one priority",
        "MAYBE",
        _table(_chain("counter drop")) + _table(_chain("counter reject"), name="u"),
        unordered=True,
    ),
    Case(
        "accept and drop at one priority",
        "DROP",
        _table(_chain("counter drop")) + _table(_chain("counter accept"), name="u"),
        unordered=True,
    ),
    Case(
        "mark and test at one priority",
        "MAYBE",
        _table(_chain("meta mark set 1")) + _table(_chain("meta mark 1 counter drop"), name="u"),
        unordered=True,
    ),
    Case(
        "ip table beside inet",
        "DROP",
        _table(_chain("counter accept")) + _table(_chain("counter drop", priority="5"), family="ip", name="u"),
    ),
]

# Text for iptables-legacy, iptables-nft and nft, parted by ---: all three live at once.
MIXED = [
    Case(
        "legacy rejects, nft is clean",
        "REJECT icmp-host-prohibited",
        "filter INPUT -j REJECT --reject-with icmp-host-prohibited\n---\nfilter INPUT ACCEPT\n---\n",
        unordered=True,
    ),
    Case(
        "nft rejects, legacy accepts",
        "REJECT icmp-port-unreachable",
        "filter INPUT -j ACCEPT\n---\nfilter INPUT -j REJECT\n---\n",
        unordered=True,
    ),
    Case(
        "both reject alike",
        "REJECT icmp-port-unreachable",
        "filter INPUT -j REJECT\n---\nfilter INPUT -j REJECT\n---\n",
        unordered=True,
    ),
    Case("both reject, differently", "MAYBE", "filter INPUT -j REJECT\n---\nfilter INPUT -j DROP\n---\n", unordered=True),
    Case(
        "firewalld behind an accepting chain",
        "REJECT icmp-admin-prohibited",
        "filter INPUT -j ACCEPT\n---\nfilter INPUT -j ACCEPT\n---\n"
        + _rules("counter reject with icmpx admin-prohibited", priority="10"),
        unordered=True,
    ),
    Case(
        "legacy mark, nft test",
        "DROP",
        "mangle PREROUTING -j MARK --set-xmark 0x9/0xffffffff\n---\nfilter INPUT -m mark --mark 0x9 -j DROP\n---\n",
        unordered=True,
    ),
    Case("raw legacy drops before all", "DROP", "raw PREROUTING -j DROP\n---\nfilter INPUT -j ACCEPT\n---\n"),
]
