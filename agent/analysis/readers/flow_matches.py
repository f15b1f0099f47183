"""What `-m conntrack` asks of the packet that a connection began with: its protocol, addresses and ports, before any NAT."""

from agent.analysis.readers.addresses import parse_network
from agent.analysis.readers.intervals import between, exactly
from agent.analysis.readers.iptables_options import Option
from agent.analysis.readers.numerals import parse_number
from agent.analysis.readers.services import parse_protocol
from agent.model.packet import Field
from agent.model.ruleset import Compare

_ADDRESSES = {"--ctorigsrc": Field.CT_SADDR, "--ctorigdst": Field.CT_DADDR}
_PORTS = {"--ctorigsrcport": Field.CT_SPORT, "--ctorigdstport": Field.CT_DPORT}


def read_origin(option: Option, family: str) -> Compare | None:
    """The option as a test; None when it asks for something else, as the addresses of the answer, which NAT may yet change."""
    name, value = option.name, option.value
    if name == "--ctproto":
        protocol = parse_protocol(value)
        return Compare(Field.CT_PROTOCOL, exactly(protocol), option.negate) if protocol else None
    if name in _ADDRESSES:
        network = parse_network(value, family)
        return None if network is None else Compare(_ADDRESSES[name], network, option.negate)
    first, colon, last = value.partition(":")
    low, high = parse_number(first, 0xFFFF), parse_number(last if colon else first, 0xFFFF)
    if name not in _PORTS or low is None or high is None:
        return None
    return Compare(_PORTS[name], between(low, high), option.negate)
