"""One connect from one vantage point, and what the kernel said about it."""

from dataclasses import dataclass
from enum import StrEnum


class Vantage(StrEnum):
    """Where the packet starts and where it goes: pod or host to the own kubelet, or (peer) either of them to another node's."""

    POD = "pod"
    HOST = "host"
    PEER = "peer"


class Outcome(StrEnum):
    """What a TCP connect met. One value per row that the kernel lets us tell apart from errno and the ICMP error queue."""

    OPEN = "open"
    RESET = "reset"  # a RST: nobody listens, or REJECT --reject-with tcp-reset
    PORT_UNREACHABLE = "port-unreachable"  # ICMP 3/3: iptables' default REJECT
    HOST_PROHIBITED = "host-prohibited"  # ICMP 3/10
    ADMIN_PROHIBITED = "admin-prohibited"  # ICMP 3/13, ICMPv6 1/1
    NET_UNREACHABLE = "net-unreachable"  # ICMP 3/0, ICMPv6 1/0
    OTHER_ICMP = "other-icmp"
    TIMEOUT = "timeout"
    NO_ROUTE = "no-route"  # the sender's own routes refuse, no packet came back
    BLACKHOLE = "blackhole"  # EINVAL from a blackhole route
    POD_GONE = "pod-gone"  # the namespace vanished before or during the probe
    NOT_TRIED = "not-tried"  # the probe could not be made; `detail` says why


# The sender's own routes refuse: the packet did not come as far as anybody's rules.
REFUSED = (Outcome.NO_ROUTE, Outcome.BLACKHOLE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """The handshake and one unauthenticated GET after it. `http_status` 401 means: reachable. No token is ever sent.

    `alert` is the peer's TLS alert as Go's crypto/tls words it. `sans` are `DNS:...` and `IP:...`; `not_before` and `not_after`
    RFC 3339 in UTC to the second; `certificate` the peer's own, PEM. `http_excerpt` is the beginning of the answer's body
    (a stranger's text). `seconds` is all of it, `handshake_seconds` the handshake alone, `first_byte_seconds` from the request
    to the answer's first byte, None where none came.
    """

    ok: bool
    error: str = ""
    alert: str = ""
    version: str = ""
    subject: str = ""
    issuer: str = ""
    sans: tuple[str, ...] = ()
    self_signed: bool | None = None
    not_before: str = ""
    not_after: str = ""
    certificate: str = ""
    http_status: int | None = None
    http_error: str = ""
    http_excerpt: str = ""
    seconds: float = 0.0
    handshake_seconds: float = 0.0
    first_byte_seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeRequest:
    """One connect to make. `namespace` is a network namespace's inode, 0 for the host's; addresses without port.

    `after` is how many seconds to wait first, so that a whole cluster that looks at once does not knock at once.
    """

    vantage: Vantage
    namespace: int
    source: str
    target: str
    port: int
    name: str = ""
    after: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeResult:
    """What came of a `ProbeRequest`.

    `icmp` is (type, code) from the socket's error queue, `offender` the address that sent it; `seconds` is the time of the
    connect alone; `source` and `sport` are what the socket was bound to, as far as it got.
    """

    request: ProbeRequest
    outcome: Outcome
    errno: str | None = None
    icmp: tuple[int, int] | None = None
    offender: str = ""
    source: str = ""
    sport: int | None = None
    seconds: float = 0.0
    tls: Tls | None = None
    detail: str = ""
