"""Counters as /proc/net prints them, and what rose between two readings. Names are nstat's: `TcpExtIPReversePathFilter`."""

from collections.abc import Mapping

CONNTRACK = "stat/nf_conntrack"


def parse(files: Mapping[str, str]) -> dict[str, int]:
    """Every counter of `snmp`, `netstat` and `stat/nf_conntrack` (`conntrack drop`); what is not understood is left out."""
    found: dict[str, int] = {}
    for name in ("snmp", "netstat"):
        lines = files.get(name, "").splitlines()
        for heads, values in zip(lines[::2], lines[1::2], strict=False):
            group, _, names = heads.partition(": ")
            same, _, numbers = values.partition(": ")
            if group == same:
                pairs = zip(names.split(), numbers.split(), strict=False)
                found |= {f"{group}{key}": int(number) for key, number in pairs if number.lstrip("-").isdecimal()}
    return found | _conntrack(files.get(CONNTRACK, ""))


def risen(before: Mapping[str, int], after: Mapping[str, int]) -> dict[str, int]:
    """What rose, by how much. A counter that one reading lacks is left out."""
    return {name: count - before[name] for name, count in after.items() if name in before and count > before[name]}


def _conntrack(text: str) -> dict[str, int]:
    """A row of hexadecimal numbers for each processor, added up (net/netfilter/nf_conntrack_standalone.c, ct_cpu_seq_show)."""
    rows = [line.split() for line in text.splitlines()]
    found: dict[str, int] = {}
    for row in rows[1:]:
        for name, number in zip(rows[0], row, strict=False):
            try:
                found[f"conntrack {name}"] = found.get(f"conntrack {name}", 0) + int(number, 16)
            except ValueError:
                continue
    found.pop("conntrack entries", None)  # every processor's row has the same number
    return found
