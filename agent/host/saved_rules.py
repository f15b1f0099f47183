"""The firewall files that a node loads at boot, as text. Whether they run is for the analysis to compare."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from agent.model.capture import Problem, TextFile

# By path below /etc, in the order in which they are told of: netfilter-persistent, iptables-services, nftables, ufw.
_FILES = (
    "iptables/rules.v4",
    "iptables/rules.v6",
    "sysconfig/iptables",
    "sysconfig/ip6tables",
    "nftables.conf",
    "sysconfig/nftables.conf",
    "ufw/user.rules",
    "ufw/user6.rules",
)
_ZONES = "firewalld/zones"
# A saved table of kube-proxy's is the largest seen in the field, 110 KB; the capture has to stay something to mail.
_LIMIT = 256 * 1024


def capture(directories: Sequence[str], problems: list[Problem]) -> tuple[TextFile, ...]:
    """The files that are there; one that is and cannot be read becomes a problem."""
    files = []
    for path in (path for directory in directories for path in _paths(Path(directory))):
        try:
            files.append(TextFile(path=str(path), text=read_text(path)))
        except FileNotFoundError:
            continue  # most nodes have one of these tools, if any
        except OSError as error:
            problems.append(Problem(what=str(path), why=f"cannot be read: {error.strerror or error}", remedy="run as root"))
    return tuple(files)


def read_text(path: Path, limit: int = _LIMIT) -> str:
    """A regular file of at most `limit` bytes; bytes that are no UTF-8 are surrogate-escaped. Raises `OSError`."""
    if path.exists() and not path.is_file():
        raise OSError("it is not a regular file")
    with path.open("rb") as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise OSError(f"it is larger than {limit} bytes")
    return data.decode("utf-8", "surrogateescape")


def _paths(directory: Path) -> Iterator[Path]:
    yield from (directory / name for name in _FILES)
    try:
        yield from sorted((directory / _ZONES).glob("*.xml"))
    except OSError:
        return  # no firewalld, or its zones are root's: the running rules then speak alone
