"""Everything that was looked at, raw: the input of the analysis, the bug report, the golden test and the fuzz corpus."""

import hashlib
from dataclasses import dataclass

from agent.model.evidence import Counters, NodeEvidence
from agent.model.outline import Outline, Part
from agent.model.phantom import Phantom
from agent.model.probe import ProbeResult
from agent.model.scrape import NameLookup, PodFiles, Trust
from agent.model.settings import Settings
from agent.model.trace import DeepTrace
from agent.model.twin import TwinResult

SCHEMA = "kubereach.dev/capture/v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Something that could not be looked at: what, why, and what a person can do about it."""

    what: str
    why: str
    remedy: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One command's output. `status` is its exit code, None when it did not run or did not end; `problem` says why then."""

    name: str
    argv: tuple[str, ...]
    status: int | None
    stdout: str = ""
    stderr: str = ""
    seconds: float = 0.0
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PartReading:
    """What the tools printed of one part: nft's JSON, and of a chain in a table of iptables `iptables-nft -S` as well."""

    part: Part
    listing: Reading
    save: Reading | None = None


# The readings of a firewall, by name. Each is optional: a backend that is not there is not read.
LEGACY_SAVE = "iptables-legacy-save"
LEGACY_SAVE6 = "ip6tables-legacy-save"
NFT_SAVE = "iptables-nft-save"
NFT_SAVE6 = "ip6tables-nft-save"
NFT_JSON = "nft-json"
NFT_PART = "nft-part"  # of one chain or set
NFT_RULES = "iptables-nft-S"  # of one chain
IPSET_SAVE = "ipset-save"  # only where another reading mentions a set


@dataclass(frozen=True, slots=True, kw_only=True)
class Firewall:
    """The firewall at one moment. `legacy_tables` lists what `/proc/net/ip_tables_names` held, per family.

    Where nftables was read in part, `outline` tells what there is and `parts` holds the chains and sets that were read; a
    reading of the whole of it is then not among the others.
    """

    readings: tuple[Reading, ...] = ()
    legacy_tables: tuple[str, ...] = ()
    legacy_tables6: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()
    outline: Outline | None = None
    parts: tuple[PartReading, ...] = ()

    def reading(self, name: str) -> Reading | None:
        """The reading of that name, or None."""
        return next((reading for reading in self.readings if reading.name == name), None)

    def digest(self) -> str:
        """A name for exactly these readings, counters included: by it front and broker speak of the same one."""
        digest = hashlib.sha256()
        parts = (reading for part in self.parts for reading in (part.listing, part.save) if reading is not None)
        for reading in (*self.readings, *parts):
            for text in (reading.name, str(reading.status), reading.stdout):
                data = text.encode("utf-8", "surrogateescape")
                digest.update(b"%d:" % len(data) + data)
        return digest.hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class LegacyRule:
    """One rule of the legacy INPUT chain as python-iptables decodes it; `matches` are extension names in rule order."""

    number: int
    target: str
    protocol: str = "ip"
    source: str = ""
    destination: str = ""
    in_interface: str = ""
    matches: tuple[str, ...] = ()
    packets: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LegacyChain:
    """The second reading of `filter INPUT`, by python-iptables in its worker. `problem` is set when it could not be had."""

    policy: str = ""
    rules: tuple[LegacyRule, ...] = ()
    problem: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Interface:
    """An interface; `addresses` with prefix length; `kind` is the rtnetlink kind (veth, bridge, ...), `master` its bridge."""

    index: int
    name: str
    kind: str = ""
    master: str = ""
    up: bool = True
    addresses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A route of the main table. `destination` is CIDR (`0.0.0.0/0` for the default); empty `gateway` means on-link."""

    destination: str
    interface: str = ""
    gateway: str = ""
    source: str = ""
    kind: str = "unicast"


@dataclass(frozen=True, slots=True, kw_only=True)
class Namespace:
    """A network namespace other than the host's. `inode` names it; `path` is how the broker reaches it.

    `nat` are the chains in it that may redirect what a process in it sends (`ip nat OUTPUT`), and those that they may jump to;
    None where the kernel did not tell.
    """

    inode: int
    path: str
    interfaces: tuple[Interface, ...] = ()
    routes: tuple[Route, ...] = ()
    nat: tuple[str, ...] | None = ()
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """A TCP socket in LISTEN in the host's namespace. `process` is empty where the owner could not be seen."""

    address: str
    port: int
    pid: int | None = None
    process: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """A process of interest; secrets in `argv` are replaced by `***`.

    `namespace` is the inode of its network namespace, 0 for the host's; `environment` holds its proxy variables
    (`HTTPS_PROXY=...`), without passwords, where they matter.
    """

    pid: int
    name: str
    argv: tuple[str, ...] = ()
    namespace: int = 0
    environment: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TextFile:
    """A file as found."""

    path: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Configured:
    """One value out of a program's configuration file, which itself is not kept: it may hold secrets."""

    program: str
    path: str
    key: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Processes:
    """What psutil saw, in its worker, and what the kubelet and the runtime were told in files (`cni_files`: theirs)."""

    processes: tuple[Process, ...] = ()
    listeners: tuple[Listener, ...] = ()
    configured: tuple[Configured, ...] = ()
    cni_files: tuple[TextFile, ...] = ()
    problem: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PodObject:
    """A running pod of this node that has an address of its own (not the node's), as the API knows it."""

    namespace: str
    name: str
    addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeObject:
    """What the Kubernetes API says of this node and its pods. `problem` is set when it was asked and did not answer."""

    name: str = ""
    addresses: tuple[tuple[str, str], ...] = ()  # (type, address)
    pod_cidrs: tuple[str, ...] = ()
    kubelet_port: int | None = None
    pods: tuple[PodObject, ...] = ()
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """The node as the broker found it."""

    hostname: str
    interfaces: tuple[Interface, ...] = ()
    routes: tuple[Route, ...] = ()
    namespaces: tuple[Namespace, ...] = ()
    cni_files: tuple[TextFile, ...] = ()
    firewall_files: tuple[TextFile, ...] = ()  # what a firewall tool loads at boot, saved text
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PodRoute:
    """The kernel's own route lookup for a pod's address: the interface its packets come in by."""

    pod: str
    interface: str = ""
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """How long one part of the capture took, in seconds."""

    name: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Capture:
    """One look at one node. `before`, `between` and `after` bracket the probes: the pod's probe alone lies between the
    first two, the host's and the peer's between the last two, so that every counter that moved has one suspect.
    """

    schema: str = SCHEMA
    version: str
    taken_at: str  # RFC 3339, UTC
    settings: Settings
    node: Node
    processes: Processes
    before: Firewall
    between: Firewall | None = None
    node_object: NodeObject | None = None
    legacy_chain: LegacyChain | None = None
    pod_routes: tuple[PodRoute, ...] = ()
    probes: tuple[ProbeResult, ...] = ()
    twin: TwinResult | None = None  # None: it was not asked for
    counters: tuple[Counters, ...] = ()  # right before the pod's probe and right after; empty without a pod
    evidence: NodeEvidence | None = None
    pod_firewall: Firewall | None = None  # the rules of the probed pod's own namespace
    pod_files: PodFiles | None = None  # of metrics-server's pod where it runs here, else of the pod that was probed
    name_lookup: NameLookup | None = None  # None: metrics-server is not seen here, or it asks for no name
    trust: Trust | None = None  # None: there was no certificate or no authority to hold it against
    phantom: Phantom | None = None  # likewise, or there was a pod
    deep: DeepTrace | None = None  # likewise; after the second reading
    stages: tuple[Stage, ...] = ()
    problems: tuple[Problem, ...] = ()
