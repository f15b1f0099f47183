"""Addresses and networks as text, to integers and tests. Written by hand because `ipaddress` costs most of a large read."""

from ipaddress import AddressValueError, IPv6Address

from agent.analysis.readers.intervals import masked
from agent.analysis.readers.numerals import parse_number
from agent.model.ruleset import Intervals, Masked

# A leading zero is not here: inet_aton reads it as octal and people as decimal, so neither reading is safe.
_OCTETS = {str(number): number for number in range(256)}
WIDTH = {"ip": 32, "ip6": 128}
EVERYWHERE = ("0.0.0.0/0", "::/0")  # iptables makes no test of it


def parse_address(text: str, family: str) -> int | None:
    """The address as an integer, None when it is not one of that family (`ip` or `ip6`)."""
    if family == "ip":
        try:
            first, second, third, fourth = text.split(".", 4)
            return _OCTETS[first] << 24 | _OCTETS[second] << 16 | _OCTETS[third] << 8 | _OCTETS[fourth]
        except (KeyError, ValueError):  # not an octet, not four of them
            return None
    try:
        return int(IPv6Address(text)) if "%" not in text else None
    except AddressValueError:
        return None


def parse_network(text: str, family: str) -> Intervals | Masked | None:
    """`address[/length or mask]` as a test on the address; bits beyond the mask are ignored, as iptables does. Else None."""
    address, slash, suffix = text.partition("/")
    width, value = WIDTH[family], parse_address(address, family)
    if value is None:
        return None
    if not slash or (suffix == "32" and width == 32):
        return Intervals(((value, value),))
    length = parse_number(suffix, width)
    mask = parse_address(suffix, family) if length is None else ((1 << length) - 1) << (width - length)
    if mask is None:
        return None
    return masked(value & mask, mask, width)


def parse_range(text: str, family: str) -> Intervals | None:
    """`address-address` or one address, both ends included. None when it is neither."""
    first, dash, last = text.partition("-")
    low = parse_address(first, family)
    high = parse_address(last, family) if dash else low
    return None if low is None or high is None or low > high else Intervals(((low, high),))
