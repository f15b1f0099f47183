"""DNAT, SNAT, REDIRECT, MASQUERADE and NETMAP: what they make of the packet's address and port, as far as the rule says."""

from agent.analysis.readers.addresses import parse_address
from agent.analysis.readers.iptables_options import Extension
from agent.analysis.readers.numerals import parse_number
from agent.model.ruleset import Action, Translate, Unclear

_TO = {
    "DNAT": "--to-destination",
    "SNAT": "--to-source",
    "REDIRECT": "--to-ports",
    "MASQUERADE": "--to-ports",
    "NETMAP": "--to",
}
_FLAGS = {"--random", "--random-fully", "--persistent"}


def read_nat(target: Extension, family: str) -> list[Action]:
    """The translation; not `exact` where the rule leaves a choice, `Unclear` where it is not understood."""
    kind, wanted = target.name.lower(), [each for each in target.options if each.name not in _FLAGS]
    if any(each.name != _TO[target.name] or each.negate for each in wanted):
        return [Unclear(str(target), f"{target} is not understood by this version")]
    if kind == "netmap" or (kind in ("dnat", "snat") and len(wanted) != 1):
        return [Translate(kind, exact=False)]
    value = wanted[0].value if wanted else ""
    if kind in ("redirect", "masquerade"):
        port = parse_number(value, 0xFFFF)
        return [Translate(kind, port=port, exact=not value or port is not None)]
    address, port_text = _split(value, family)
    port = parse_number(port_text, 0xFFFF)
    known = (not address or parse_address(address, family) is not None) and (not port_text or port is not None)
    return [Translate(kind, address, port) if known and value else Translate(kind, exact=False)]


def _split(value: str, family: str) -> tuple[str, str]:
    """`address:port`, `[address]:port` or either alone, as (address, port)."""
    if family == "ip6":
        if not value.startswith("["):
            return value, ""
        address, _, rest = value[1:].partition("]")
        return address, rest.removeprefix(":")
    address, _, port = value.partition(":")
    return address, port
