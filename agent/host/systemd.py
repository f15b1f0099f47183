"""What systemd itself says of the kubelet's unit and of the services that own firewalls. Asked only where systemd runs."""

from collections.abc import Iterator
from pathlib import Path

from agent.host import command
from agent.model.evidence import Unit, Unread

_BOOTED = Path("/run/systemd/system")  # sd_booted(3)
_PROPERTIES = "IPAddressAllow,IPAddressDeny,IPIngressFilterPath,RestrictNetworkInterfaces,ActiveState"
_SERVICES = ("firewalld", "ufw", "nftables", "iptables", "ip6tables", "netfilter-persistent")
_SECONDS = 2.0  # answers take milliseconds; a systemd that is stuck is not waited for


def unit(cgroup: str, unread: list[Unread]) -> Unit | None:
    """The service that a cgroup's path belongs to, None where it is none or systemd does not run."""
    name = next((part for part in reversed(Path(cgroup).parts) if part.endswith(".service")), "")
    if not name or not _BOOTED.is_dir():
        return None
    lines = _ask(("systemctl", "show", "-p", _PROPERTIES, "--", name), f"properties of {name}", unread)
    return Unit(name=name, properties=dict(line.split("=", 1) for line in lines if "=" in line)) if lines else None


def services(unread: list[Unread]) -> dict[str, str]:
    """Unit to `active`, `inactive`, ... for the services that load firewalls; empty where systemd does not run."""
    if not _BOOTED.is_dir():
        unread.append(Unread(what="services", why="systemd does not run here"))
        return {}
    # One line for each in the order given; the exit code says only whether any is active (systemctl(1)).
    return dict(zip(_SERVICES, _ask(("systemctl", "is-active", "--", *_SERVICES), "services", unread), strict=False))


def _ask(argv: tuple[str, ...], what: str, unread: list[Unread]) -> list[str]:
    done = command.run(argv, timeout=_SECONDS)
    lines = list(_lines(done.stdout))
    if not lines:
        said = done.stderr.decode("utf-8", "replace").strip()
        unread.append(Unread(what=what, why=done.problem or said or f"systemctl ended with status {done.status}"))
    return lines


def _lines(data: bytes) -> Iterator[str]:
    return iter(data.decode("utf-8", "surrogateescape").splitlines())
