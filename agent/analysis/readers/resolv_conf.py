"""How a pod looks a name up: its resolv.conf and its hosts file (resolv.conf(5), hosts(5)), as Go's own resolver reads them.

metrics-server is a static Go program, so it is net/dnsconfig_unix.go and net/hosts.go that count, not the C library.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address

# net/dnsclient_unix.go: three servers at most, one dot before a name is tried as it is, and at most 15 dots are believed.
_SERVERS = 3
_NDOTS, _MOST_NDOTS = 1, 15


@dataclass(frozen=True, slots=True)
class ResolvConf:
    """The servers' addresses in order, the search domains (with their trailing dot), and `ndots`."""

    servers: tuple[str, ...] = ()
    search: tuple[str, ...] = ()
    ndots: int = _NDOTS

    def full_names(self, name: str) -> tuple[str, ...]:
        """The names that are asked for, in order, each with its trailing dot (net/dnsclient_unix.go, nameList)."""
        if name.endswith("."):
            return (name,)
        searched = tuple(f"{name}.{domain}" for domain in self.search)
        plain = f"{name}."
        return (plain, *searched) if name.count(".") >= self.ndots else (*searched, plain)


def parse_resolv_conf(text: str) -> ResolvConf:
    """Reads a resolv.conf. What is not understood is passed over, as every resolver does. Never raises."""
    servers: list[str] = []
    search: tuple[str, ...] = ()
    ndots = _NDOTS
    for words in _lines(text, ";#"):
        key, values = words[0], words[1:]
        if key == "nameserver" and values and _address(values[0]) and len(servers) < _SERVERS:
            servers.append(values[0])
        elif key in ("domain", "search"):
            given = values[:1] if key == "domain" else values
            search = tuple(f"{domain.strip('.')}." for domain in given if domain.strip("."))
        elif key == "options":
            numbers = [option.partition(":")[2] for option in values if option.startswith("ndots:")]
            ndots = next((min(int(number), _MOST_NDOTS) for number in reversed(numbers) if number.isdecimal()), ndots)
    # Without any server a resolver asks its own host (resolv.conf(5)).
    return ResolvConf(tuple(servers) or ("127.0.0.1", "::1"), search, ndots)


def addresses_in_hosts(text: str, name: str) -> tuple[str, ...]:
    """The addresses that a hosts file gives for a name; case and a trailing dot do not count."""
    wanted = name.rstrip(".").lower()
    found = (words[0] for words in _lines(text, "#") if wanted in (word.rstrip(".").lower() for word in words[1:]))
    return tuple(dict.fromkeys(address for address in found if _address(address)))


def _lines(text: str, marks: str) -> Iterator[list[str]]:
    for line in text.splitlines():
        for mark in marks:
            line = line.partition(mark)[0]  # noqa: PLW2901  a comment is cut off the line
        if words := line.split():
            yield words


def _address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
