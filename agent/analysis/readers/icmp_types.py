"""ICMP's names: types and codes as iptables and nft print them, and the words for REJECT's answers.

Numbers: RFC 792, RFC 1122, RFC 1812 and RFC 4443; words: libipt_icmp.c, libip6t_icmp6.c, libipt_REJECT.c and nft's proto.c.
"""

# (type, code); a code of None stands for every code.
_UNREACHABLE = (
    "network-unreachable", "host-unreachable", "protocol-unreachable", "port-unreachable", "fragmentation-needed",
    "source-route-failed", "network-unknown", "host-unknown", None, "network-prohibited", "host-prohibited",
    "TOS-network-unreachable", "TOS-host-unreachable", "communication-prohibited", "host-precedence-violation",
    "precedence-cutoff",
)  # fmt: skip
_REDIRECT = ("network-redirect", "host-redirect", "TOS-network-redirect", "TOS-host-redirect")
ICMP_TYPES: dict[str, tuple[int, int | None]] = {
    "echo-reply": (0, None), "pong": (0, None), "destination-unreachable": (3, None), "source-quench": (4, None),
    "redirect": (5, None), "echo-request": (8, None), "ping": (8, None), "router-advertisement": (9, None),
    "router-solicitation": (10, None), "time-exceeded": (11, None), "ttl-exceeded": (11, None),
    "ttl-zero-during-transit": (11, 0), "ttl-zero-during-reassembly": (11, 1), "parameter-problem": (12, None),
    "ip-header-bad": (12, 0), "required-option-missing": (12, 1), "timestamp-request": (13, None),
    "timestamp-reply": (14, None), "info-request": (15, None), "info-reply": (16, None),
    "address-mask-request": (17, None), "address-mask-reply": (18, None),
    **{name.lower(): (3, code) for code, name in enumerate(_UNREACHABLE) if name},
    **{name.lower(): (5, code) for code, name in enumerate(_REDIRECT)},
}  # fmt: skip
ICMP6_TYPES: dict[str, tuple[int, int | None]] = {
    "destination-unreachable": (1, None), "no-route": (1, 0), "communication-prohibited": (1, 1), "beyond-scope": (1, 2),
    "address-unreachable": (1, 3), "port-unreachable": (1, 4), "failed-policy": (1, 5), "reject-route": (1, 6),
    "packet-too-big": (2, None), "time-exceeded": (3, None), "ttl-exceeded": (3, None), "ttl-zero-during-transit": (3, 0),
    "ttl-zero-during-reassembly": (3, 1), "parameter-problem": (4, None), "bad-header": (4, 0),
    "unknown-header-type": (4, 1), "unknown-option": (4, 2), "echo-request": (128, None), "ping": (128, None),
    "echo-reply": (129, None), "pong": (129, None), "router-solicitation": (133, None), "router-advertisement": (134, None),
    "neighbour-solicitation": (135, None), "neighbor-solicitation": (135, None), "neighbour-advertisement": (136, None),
    "neighbor-advertisement": (136, None), "redirect": (137, None), "mld-listener-query": (130, None),
    "mld-listener-report": (131, None), "mld-listener-reduction": (132, None), "mld-listener-done": (132, None),
    "nd-router-solicit": (133, None), "nd-router-advert": (134, None), "nd-neighbor-solicit": (135, None),
    "nd-neighbor-advert": (136, None), "nd-redirect": (137, None), "router-renumbering": (138, None),
    "ind-neighbor-solicit": (141, None), "ind-neighbor-advert": (142, None), "mld2-listener-report": (143, None),
}  # fmt: skip

# nft prints codes by name whatever the type is.
NFT_CODES = {
    "icmp": {
        "net-unreachable": 0, "host-unreachable": 1, "prot-unreachable": 2, "port-unreachable": 3, "frag-needed": 4,
        "net-prohibited": 9, "host-prohibited": 10, "admin-prohibited": 13,
    },
    "icmpv6": {
        "no-route": 0, "admin-prohibited": 1, "addr-unreachable": 3, "port-unreachable": 4, "policy-fail": 5,
        "reject-route": 6,
    },
}  # fmt: skip

_REPLIES = {
    "icmp-net-unreachable": "net-unreach", "icmp-host-unreachable": "host-unreach", "icmp-proto-unreachable": "proto-unreach",
    "icmp-port-unreachable": "port-unreach", "icmp-net-prohibited": "net-prohib", "icmp-host-prohibited": "host-prohib",
    "icmp-admin-prohibited": "admin-prohib", "icmp6-no-route": "no-route", "icmp6-adm-prohibited": "adm-prohibited",
    "icmp6-addr-unreachable": "addr-unreach", "icmp6-port-unreachable": "port-unreach", "icmp6-policy-fail": "policy-fail",
    "icmp6-reject-route": "reject-route",
}  # fmt: skip
# nft's word -> iptables' word, for `reject with icmp ...` and `reject with icmpv6 ...`.
NFT_REPLIES = {
    "icmp": {
        "net-unreachable": "icmp-net-unreachable", "host-unreachable": "icmp-host-unreachable",
        "prot-unreachable": "icmp-proto-unreachable", "port-unreachable": "icmp-port-unreachable",
        "net-prohibited": "icmp-net-prohibited", "host-prohibited": "icmp-host-prohibited",
        "admin-prohibited": "icmp-admin-prohibited",
    },
    "icmpv6": {
        "no-route": "icmp6-no-route", "admin-prohibited": "icmp6-adm-prohibited", "addr-unreachable": "icmp6-addr-unreachable",
        "port-unreachable": "icmp6-port-unreachable", "policy-fail": "icmp6-policy-fail",
        "reject-route": "icmp6-reject-route",
    },
    "icmpx": {
        "no-route": "icmpx-no-route", "port-unreachable": "icmpx-port-unreachable",
        "host-unreachable": "icmpx-host-unreachable", "admin-prohibited": "icmpx-admin-prohibited",
    },
}  # fmt: skip


def parse_reply(word: str, family: str) -> str | None:
    """`--reject-with WORD` under its full name, None when the word is not one of that family's (`ip` or `ip6`)."""
    word = word.lower()
    if word in ("tcp-reset", "tcp-rst"):
        return "tcp-reset"
    prefix = "icmp6-" if family == "ip6" else "icmp-"
    return next((full for full, short in _REPLIES.items() if full.startswith(prefix) and word in (full, short)), None)
