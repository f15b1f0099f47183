"""What a packet to this node can meet on its way in, as lines whose digest a plan rests on.

Of iptables' tables raw, mangle and filter, in both backends: the chains that PREROUTING and INPUT lead to. Of nft's other
tables: those with a chain at these hooks, their sets' elements left out. The nat tables are left out, too: kube-proxy writes
them all the time. What nat, or an element, does to this one packet is tried in the twin, before anything is written.
"""

import json
from collections.abc import Iterator
from typing import Any

from agent.host.fixing.filter_table import FilterTable, digest_of, parse
from agent.model.capture import LEGACY_SAVE, LEGACY_SAVE6, NFT_JSON, NFT_SAVE, NFT_SAVE6, Firewall
from agent.model.plan import Ground

_SAVES = {4: (("legacy", LEGACY_SAVE), ("nft", NFT_SAVE)), 6: (("legacy", LEGACY_SAVE6), ("nft", NFT_SAVE6))}
_FAMILIES = {4: ("ip", "inet", "netdev", "bridge"), 6: ("ip6", "inet", "netdev", "bridge")}
_IPTABLES = ("filter", "nat", "mangle", "raw", "security")
_HOOKS = ("ingress", "prerouting", "input")
_TABLES = {"raw": ("PREROUTING",), "mangle": ("PREROUTING", "INPUT"), "filter": ("INPUT",)}


def table_of(firewall: Firewall, backend: str, version: int) -> FilterTable:
    """The filter table of one backend as it was read; empty where there is none."""
    name = dict(_SAVES[version])[backend]
    reading = firewall.reading(name)
    return parse(reading.stdout) if reading is not None and reading.status == 0 else FilterTable()


def ground(firewall: Firewall, backend: str, version: int, chain: str) -> Ground:
    """The ground of one reading, for a packet of this IP version."""
    lines = tuple(_lines(firewall, version))
    table = table_of(firewall, backend, version)
    return Ground(digest=digest_of(lines), lines=lines, rules=table.chains.get(chain, ()), policy=table.policies.get(chain, ""))


def _lines(firewall: Firewall, version: int) -> Iterator[str]:
    for problem in firewall.problems:
        yield f"# not read: {problem.what}"
    for backend, name in _SAVES[version]:
        reading = firewall.reading(name)
        for table, start in _TABLES.items():
            lines = parse(reading.stdout, table).lines(*start) if reading is not None else ()
            yield from (f"{backend} {table}: {line}" for line in lines)
    reading = firewall.reading(NFT_JSON)
    if reading is not None and reading.status == 0:
        yield from _native(reading.stdout, version)


def _native(text: str, version: int) -> Iterator[str]:
    """Chains and rules of every nft table that iptables did not make, and that this packet may meet on its way in."""
    try:
        items = json.loads(text).get("nftables", [])
    except (ValueError, AttributeError):
        yield "# nft's answer is not JSON"
        return
    objects = [next(iter(item.items())) for item in items if isinstance(item, dict) and len(item) == 1]
    hooked = {
        (body["family"], body["table"])
        for kind, body in objects
        if kind == "chain" and body.get("hook") in _HOOKS and body.get("type") != "nat" and not _is_iptables(body)
    }
    for kind, body in objects:
        if kind in ("chain", "rule") and (body["family"], body["table"]) in hooked and body["family"] in _FAMILIES[version]:
            kept: dict[str, Any] = {key: value for key, value in body.items() if key not in ("handle", "expr")}
            kept["expr"] = [item for item in body.get("expr", []) if "counter" not in item]
            yield f"nft: {json.dumps(kept, sort_keys=True)}"


def _is_iptables(body: dict[str, Any]) -> bool:
    return body["family"] in ("ip", "ip6") and body["table"] in _IPTABLES
