"""How a stand-in kubelet behaves where it is not a kubelet in order, and what else runs on stage. Data only."""

from dataclasses import dataclass, field
from pathlib import Path

from agent.lab.serving import Serving

# Where the cluster's CA lies on stage: a kubelet's certificate is signed with it, and pods are given its certificate.
AUTHORITY = Path("/run/lab/pki")


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """`status` and `text` are the answer to everybody without a token, after `delay` seconds; `name` is the process's."""

    name: str = "kubelet"
    serving: Serving = field(default_factory=Serving)
    status: int = 401
    text: str = "Unauthorized"
    delay: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StandIn:
    """A process on the node of which only its name, flags and environment count."""

    name: str
    flags: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()
