"""Names for protocols and ports, as iptables, nft and hand-written rule files use them (IANA's registries).

Only names that firewall rules are seen to use; a name that is not here becomes an unanswered test, never a guess.
"""

from agent.analysis.readers.numerals import parse_number
from agent.model.packet import PROTOCOLS

# Further names of /etc/protocols beside the model's own; `ipv6-icmp` has three spellings.
_MORE_PROTOCOLS = {
    "ip": 0, "hopopt": 0, "ipip": 94, "igp": 9, "egp": 8, "idp": 22, "rdp": 27, "ddp": 37, "ipv6": 41, "ipv6-route": 43,
    "ipv6-frag": 44, "idrp": 45, "rsvp": 46, "icmpv6": 58, "ipv6-nonxt": 59, "ipv6-opts": 60, "eigrp": 88, "ospf": 89,
    "ospfigp": 89, "ax.25": 93, "etherip": 97, "encap": 98, "pim": 103, "ipcomp": 108, "comp": 108, "vrrp": 112, "l2tp": 115,
    "isis": 124, "fc": 133, "mobility-header": 135, "ipv6-mh": 135, "mh": 135, "mpls-in-ip": 137, "hip": 139, "shim6": 140,
    "wesp": 141, "rohc": 142, "all": 0,
}  # fmt: skip
_PROTOCOLS = {**_MORE_PROTOCOLS, **PROTOCOLS}

_SERVICES = {
    "echo": 7, "discard": 9, "daytime": 13, "chargen": 19, "ftp-data": 20, "ftp": 21, "ssh": 22, "telnet": 23, "smtp": 25,
    "mail": 25, "time": 37, "whois": 43, "tacacs": 49, "domain": 53, "bootps": 67, "bootpc": 68, "tftp": 69, "gopher": 70,
    "finger": 79, "http": 80, "www": 80, "kerberos": 88, "pop2": 109, "pop3": 110, "sunrpc": 111, "portmapper": 111,
    "auth": 113, "ident": 113, "nntp": 119, "ntp": 123, "epmap": 135, "loc-srv": 135, "netbios-ns": 137, "netbios-dgm": 138,
    "netbios-ssn": 139, "imap": 143, "imap2": 143, "snmp": 161, "snmp-trap": 162, "snmptrap": 162, "xdmcp": 177, "bgp": 179,
    "irc": 194, "ldap": 389, "https": 443, "microsoft-ds": 445, "kpasswd": 464, "submissions": 465, "ssmtp": 465,
    "urd": 465, "isakmp": 500, "syslog": 514, "shell": 514, "printer": 515, "route": 520, "router": 520, "ripng": 521,
    "dhcpv6-client": 546, "dhcpv6-server": 547, "rtsp": 554, "nntps": 563, "submission": 587, "ipp": 631, "ldaps": 636,
    "domain-s": 853, "rsync": 873, "ftps-data": 989, "ftps": 990, "telnets": 992, "imaps": 993, "pop3s": 995, "socks": 1080,
    "openvpn": 1194, "ms-sql-s": 1433, "ms-sql-m": 1434, "l2f": 1701, "l2tp": 1701, "pptp": 1723, "radius": 1812,
    "radius-acct": 1813, "nfs": 2049, "cvspserver": 2401, "mysql": 3306, "ms-wbt-server": 3389, "svn": 3690,
    "ipsec-nat-t": 4500, "sip": 5060, "sip-tls": 5061, "xmpp-client": 5222, "xmpp-server": 5269, "mdns": 5353,
    "postgresql": 5432, "amqp": 5672, "x11": 6000, "redis": 6379, "http-alt": 8080, "webcache": 8080, "zabbix-agent": 10050,
    "zabbix-trapper": 10051,
}  # fmt: skip
# Names that mean another port, or nothing, under udp than they do under tcp.
_ONLY_UDP = {"bootps", "bootpc", "tftp", "syslog", "route", "router", "isakmp", "mdns", "ripng"}
_ONLY_TCP = {"shell", "printer"}
_UDP = 17


def parse_protocol(text: str) -> int | None:
    """The protocol number for a name or number; 0 is any protocol. None when the name is not known."""
    number = parse_number(text, 255)
    return _PROTOCOLS.get(text.lower()) if number is None else number


def parse_port(text: str, protocol: int | None) -> int | None:
    """The port for a number or a service name under that protocol. None when the name is not known."""
    number = parse_number(text, 0xFFFF)
    if number is not None:
        return number
    name = text.lower()
    if (name in _ONLY_UDP and protocol != _UDP) or (name in _ONLY_TCP and protocol == _UDP):
        return None
    return _SERVICES.get(name)
