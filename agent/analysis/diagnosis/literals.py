"""Addresses and networks out of texts that may be something else."""

import ipaddress
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address

DEFAULTS = ("0.0.0.0/0", "::/0")


def address(text: str) -> Address | None:
    """The address, or None where the text is none."""
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def network(text: str) -> Network | None:
    """The network that an address with a prefix length lies in, or None where the text is none."""
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None


def networks(texts: Iterable[str]) -> list[Network]:
    """Those of the texts that are networks."""
    return [found for text in texts if (found := network(text))]
