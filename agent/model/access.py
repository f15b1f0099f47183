"""Who may ask the service, for what, and by which door: what an operator chose, and the words of the answer."""

from dataclasses import dataclass

GROUP = "kubereach.dev"
SOCKET = "/run/kubereach/kubereach.sock"


@dataclass(frozen=True, slots=True)
class Action:
    """What a request does, in the words of Kubernetes RBAC: a verb on a resource of the group `kubereach.dev`."""

    verb: str
    resource: str

    def __str__(self) -> str:
        return f"{self.verb} {self.resource}.{GROUP}"


GET_DIAGNOSES = Action("get", "diagnoses")
CREATE_DIAGNOSES = Action("create", "diagnoses")
GET_CAPTURES = Action("get", "captures")
CREATE_PLANS = Action("create", "plans")
CREATE_FIXES = Action("create", "fixes")
DELETE_FIXES = Action("delete", "fixes")


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """Somebody as a TokenReview names them; `extra` as it came, for the SubjectAccessReview."""

    name: str
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: tuple[tuple[str, tuple[str, ...]], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Flags of `serve` about who may ask; nothing in here is secret.

    `owner` is the uid that started the service: it and root may use the Unix socket. `cluster`: bearer tokens are shown to the
    Kubernetes API. `insecure_loopback`: whoever connects to a loopback address may do everything. `interval`: seconds between
    two looks of the watch, 0 for none.
    """

    owner: int = 0
    insecure_loopback: bool = False
    cluster: bool = False
    audience: str = GROUP
    interval: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Secrets:
    """What the front needs and nobody else may read: handed over in a sealed memory file, never on a command line.

    `token_sha256` is a static token's digest in hexadecimal, `certificate` and `key` are PEM.
    """

    token_sha256: str = ""
    certificate: str = ""
    key: str = ""
