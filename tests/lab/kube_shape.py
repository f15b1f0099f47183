"""Rules in the shape that kube-proxy gives them, for any number of services: three nat chains and eight rules each."""

_FILTER = """\
*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:KUBE-FIREWALL - [0:0]
:KUBE-EXTERNAL-SERVICES - [0:0]
:KUBE-NODEPORTS - [0:0]
-A INPUT -m conntrack --ctstate NEW -j KUBE-EXTERNAL-SERVICES
-A INPUT -j KUBE-NODEPORTS
-A INPUT -j KUBE-FIREWALL
-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A INPUT -i lo -j ACCEPT
-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT
-A INPUT -j REJECT --reject-with icmp-host-prohibited
-A KUBE-FIREWALL ! -s 127.0.0.0/8 -d 127.0.0.0/8 -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP
COMMIT
"""
_NAT = """\
*nat
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:KUBE-SERVICES - [0:0]
:KUBE-NODEPORTS - [0:0]
:KUBE-POSTROUTING - [0:0]
:KUBE-MARK-MASQ - [0:0]
-A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A OUTPUT -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A POSTROUTING -j KUBE-POSTROUTING
-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN
-A KUBE-POSTROUTING -j MASQUERADE --random-fully
-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000
"""


def kube_proxy(services: int, *, elsewhere: bool = False) -> str:
    """Input of iptables-restore. `elsewhere`: no rule leads to the services' rules, as with another node's."""
    chains, rules = [], []
    for number in range(services):
        address, name = f"10.{96 + number // 62500}.{number // 250 % 250}.{number % 250 + 1}/32", f"{number:08d}"
        chains += [f":KUBE-SVC-{name} - [0:0]", f":KUBE-SEP-{name}A - [0:0]", f":KUBE-SEP-{name}B - [0:0]"]
        head = "KUBE-FORWARD" if elsewhere else "KUBE-SERVICES"
        rules += [
            f'-A {head} -d {address} -p tcp -m comment --comment "ns/svc{number}" -m tcp --dport 80 -j KUBE-SVC-{name}',
            f"-A KUBE-SVC-{name} ! -s 10.244.0.0/16 -d {address} -p tcp -m tcp --dport 80 -j KUBE-MARK-MASQ",
            f"-A KUBE-SVC-{name} -m statistic --mode random --probability 0.5 -j KUBE-SEP-{name}A",
            f"-A KUBE-SVC-{name} -j KUBE-SEP-{name}B",
        ]
        for end, last in (("A", 1), ("B", 2)):
            pod = f"10.244.{number % 250}.{last}"
            rules += [
                f"-A KUBE-SEP-{name}{end} -s {pod}/32 -j KUBE-MARK-MASQ",
                f"-A KUBE-SEP-{name}{end} -p tcp -m tcp -j DNAT --to-destination {pod}:8080",
            ]
    last_rule = "-A KUBE-SERVICES -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS"
    declared = "\n".join([*chains, *([":KUBE-FORWARD - [0:0]"] if elsewhere else [])])
    nat, _, bodies = _NAT.partition("-A PREROUTING")
    return f"{_FILTER}{nat}{declared}\n-A PREROUTING{bodies}" + "\n".join([*rules, last_rule, "COMMIT", ""])
