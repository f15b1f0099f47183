"""What a scrape of the kubelet needs beside the connect: names that resolve, a certificate that is trusted, a kubelet that lets
its caller in. As it was found, without a judgement.
"""

from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True, kw_only=True)
class PodFiles:
    """Files of a pod as its own processes see them; an empty text is a file that is not there.

    `namespace` is the inode of the pod's network namespace, `pid` the process through whose root they were read. `authority` is
    the cluster's CA as every pod has it (PEM; public). `problem` says why nothing could be read.
    """

    namespace: int = 0
    pid: int | None = None
    resolv_conf: str = ""
    hosts: str = ""
    authority: str = ""
    problem: str = ""


class NameAnswer(StrEnum):
    """What came of one question to one name server."""

    FOUND = "found"
    NXDOMAIN = "nxdomain"
    NO_DATA = "no-data"  # the name exists and has no address of the family that was asked for
    SERVFAIL = "servfail"
    REFUSED = "refused"  # rcode 5: the server will not answer this client or this name
    OTHER = "other"  # any other rcode, or bytes that are no answer
    TIMEOUT = "timeout"
    UNREACHABLE = "unreachable"  # an ICMP error came back, or the pod has no route; `detail` says which
    NOT_TRIED = "not-tried"


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One question to ask: a full name, the record's type (A or AAAA), and the server's address."""

    name: str
    kind: str
    server: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A question and what came of it, in `seconds`."""

    question: Question
    answer: NameAnswer
    addresses: tuple[str, ...] = ()
    seconds: float = 0.0
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NameLookup:
    """A name looked up as a pod does it: `from_hosts` is what its hosts file says, and then nobody is `asked`."""

    name: str
    namespace: int
    from_hosts: tuple[str, ...] = ()
    asked: tuple[Asked, ...] = ()
    problem: str = ""

    @property
    def addresses(self) -> tuple[str, ...]:
        """All addresses found, in the order in which they were."""
        return tuple(dict.fromkeys((*self.from_hosts, *(address for item in self.asked for address in item.addresses))))


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """Whether the kubelet's certificate is issued by the cluster's CA, whose subjects are `authorities`.

    `issued` is None where it could not be told; `problem` says why.
    """

    issued: bool | None = None
    authorities: tuple[str, ...] = ()
    problem: str = ""
