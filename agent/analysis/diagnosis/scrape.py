"""What metrics-server does on its way to this kubelet, told from its own flags where its process is seen on this node.

Sources: metrics-server cmd/metrics-server/app/options/kubelet_client.go, pkg/utils/address_resolver.go and
pkg/scraper/client/resource/client.go.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address

from agent.model.capture import Configured, NodeObject, Process, Processes
from agent.model.identity import Identity
from agent.model.settings import KUBELET_PORT

# utils.DefaultAddressTypePriority.
DEFAULT_TYPES = ("Hostname", "InternalDNS", "InternalIP", "ExternalDNS", "ExternalIP")
READ_ONLY_PORT = 10255
# strconv.ParseBool, which pflag uses.
_SWITCHES = {
    **dict.fromkeys(("1", "t", "T", "true", "TRUE", "True"), True),
    **dict.fromkeys(("0", "f", "F", "false", "FALSE", "False"), False),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Scrape:
    """How the kubelet is asked. Without `server`, a metrics-server seen here, it is how one is asked by its InternalIP.

    `address` is an IP address or a name, of the Node's address type `kind`; empty where no address has a preferred type.
    `insecure`: the certificate is not verified. `own_authority`: it is verified, against another CA than the pod's.
    `addresses` are the Node's, as (type, address).
    """

    address: str
    kind: str
    port: int
    server: Process | None = None
    scheme: str = "https"
    insecure: bool = False
    own_authority: bool = False
    timeout: str = "10s"
    addresses: tuple[tuple[str, str], ...] = ()

    @property
    def by_name(self) -> bool:
        """Whether a name has to be looked up first."""
        return bool(self.address) and not is_address(self.address)

    @property
    def strict(self) -> bool:
        """Whether a metrics-server is seen here that verifies the kubelet's certificate."""
        return self.server is not None and not self.insecure and self.scheme == "https"

    @property
    def endpoint(self) -> str:
        """`address:port`, as Go's net.JoinHostPort writes it."""
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"

    @property
    def url(self) -> str:
        """What is asked for."""
        return f"{self.scheme}://{self.endpoint}/metrics/resource"


def read_scrape(processes: Processes, node_object: NodeObject | None, identity: Identity) -> Scrape:
    """The scrape as the first metrics-server that runs on this node would make it, or as one without special flags would."""
    server = next((process for process in processes.processes if process.name == "metrics-server"), None)
    addresses = node_object.addresses if node_object and node_object.addresses else _likely_addresses(identity)
    if server is None:
        ip = next((address for kind, address in addresses if kind == "InternalIP"), "")
        return Scrape(address=ip, kind="InternalIP", port=identity.kubelet_port, addresses=addresses)
    types = [kind for value in values(server, "kubelet-preferred-address-types") for kind in value.split(",")] or DEFAULT_TYPES
    kind, address = next(((kind, address) for wanted in types for kind, address in addresses if kind == wanted), (types[0], ""))
    return Scrape(
        server=server,
        address=address,
        kind=kind,
        port=_port(server, node_object),
        scheme="http" if switch(server, "deprecated-kubelet-completely-insecure") else "https",
        insecure=bool(switch(server, "kubelet-insecure-tls")),
        own_authority=bool(values(server, "kubelet-certificate-authority", "kubelet-certificate-authority-text")),
        timeout=next(iter(reversed(values(server, "kubelet-request-timeout"))), "10s"),
        addresses=addresses,
    )


def values(process: Process | None, *names: str) -> list[str]:
    """Every value of these flags on a command line, `--name=value` or `--name value`, in order."""
    found: list[str] = []
    argv = process.argv if process else ()
    for index, argument in enumerate(argv):
        name, equals, value = argument.partition("=")
        if name.startswith("-") and name.lstrip("-") in names:
            following = argv[index + 1 : index + 2]
            found.extend([value] if equals else following)
    return found


def switch(process: Process | None, name: str) -> bool | None:
    """A boolean flag: `--name` or `--name=true` is True, `--name=false` False, None where it is not given or is no boolean."""
    given: bool | None = None
    for argument in process.argv if process else ():
        key, equals, value = argument.partition("=")
        if key in (f"--{name}", f"-{name}"):
            given = _SWITCHES.get(value) if equals else True
    return given


def told(processes: Processes, key: str) -> Configured | None:
    """What the kubelet's own file says of a key, None where it says nothing, or there is none that it reads."""
    return next((item for item in processes.configured if (item.program, item.key) == ("kubelet", key)), None)


def is_address(text: str) -> bool:
    """Whether this is an IP address, not a name."""
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _port(server: Process, node_object: NodeObject | None) -> int:
    """--kubelet-use-node-status-port wins where the Node object has a port, as client.go has it."""
    if switch(server, "kubelet-use-node-status-port") and node_object and node_object.kubelet_port:
        return node_object.kubelet_port
    given = next(iter(reversed(values(server, "kubelet-port"))), "")
    return int(given) if given.isdecimal() and 0 < int(given) < 65536 else KUBELET_PORT


def _likely_addresses(identity: Identity) -> tuple[tuple[str, str], ...]:
    """What a kubelet without a cloud provider reports of itself (kubelet/nodestatus/setters.go, NodeAddress)."""

    def found() -> Iterator[tuple[str, str]]:
        for address in identity.node_ips:
            yield "InternalIP", address
        if identity.node_name:
            yield "Hostname", identity.node_name

    return tuple(found())
