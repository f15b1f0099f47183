"""What the broker may see and do here, and for each thing that it may not: what is lost, and what to do about it."""

import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path

from agent.host import command, firewall, privilege
from agent.host.workers import IPTC, WorkerError, Workers
from agent.model.capture import LegacyChain, Problem
from agent.model.preflight import Check

_CAPABILITIES = (
    ("NET_ADMIN", privilege.NET_ADMIN, "the firewall cannot be read (the kernel has no read-only right for it)"),
    ("NET_RAW", privilege.NET_RAW, "legacy iptables tables cannot be read"),
    ("SYS_ADMIN", privilege.SYS_ADMIN, "pods' network namespaces cannot be entered, so nothing is probed from a pod"),
    ("SYS_PTRACE", privilege.SYS_PTRACE, "other users' processes, sockets and namespaces stay hidden"),
)
# Name, the multi-call binary that does as well, package, what is lost without.
_PROGRAMS = (
    ("iptables-legacy-save", "xtables-legacy-multi", "iptables", "legacy IPv4 tables cannot be read where there are some"),
    ("ip6tables-legacy-save", "xtables-legacy-multi", "iptables", "legacy IPv6 tables cannot be read where there are some"),
    ("iptables-nft-save", "xtables-nft-multi", "iptables", "matches of iptables-nft rules stay hidden, so they are undecided"),
    (
        "ip6tables-nft-save",
        "xtables-nft-multi",
        "iptables",
        "matches of ip6tables-nft rules stay hidden, so they are undecided",
    ),
    ("nft", "nft", "nftables", "the nftables rules cannot be read at all"),
    ("ip", "ip", "iproute2", "the twin cannot be built: one witness less"),
    ("ipset", "ipset", "ipset", "rules that ask for an ipset, where there are some, are undecided"),
)
_LOCK = Path("/run/xtables.lock")


def check(workers: Workers) -> tuple[Check, ...]:
    """Every check, in the order of a page. Changes nothing: no lock is taken, no library that loads modules is loaded."""
    return (*_capabilities(), *_programs(), _psutil(), _iptc(workers), _lock(), _front(), _user_namespace())


def _capabilities() -> Iterator[Check]:
    held = privilege.capabilities()
    for name, number, lost in _CAPABILITIES:
        if held >> number & 1:
            yield Check(name=f"capability {name}", ok=True, detail="effective")
        else:
            yield Check(name=f"capability {name}", ok=False, detail=f"without it {lost}", remedy=f"run as root, or add {name}")


def _programs() -> Iterator[Check]:
    for name, instead, package, lost in _PROGRAMS:
        path = command.find(name) or command.find(instead)
        if path is not None:
            yield Check(name=name, ok=True, detail=path)
        else:
            yield Check(name=name, ok=False, detail=f"not installed: {lost}", remedy=f"apt-get install {package}")


def _psutil() -> Check:
    found = importlib.util.find_spec("psutil") is not None
    lost = "" if found else "not installed: processes and listeners stay unknown"
    return Check(name="psutil", ok=found, detail=lost or "installed", remedy="" if found else "pip install psutil")


def _iptc(workers: Workers) -> Check:
    """Loaded (in its worker) only where legacy tables exist already: loading it may load kernel modules."""
    name = "python-iptables"
    if importlib.util.find_spec("iptc") is None:
        lost = "not installed: a legacy INPUT chain has one witness less"
        return Check(name=name, ok=False, detail=lost, remedy="pip install python-iptables")
    problems: list[Problem] = []
    if "filter" not in firewall.legacy_tables("ip", problems):
        return Check(name=name, ok=True, detail="installed; not loaded, since no legacy filter table exists here")
    try:
        answer = workers.ask(IPTC, {}, LegacyChain)
    except WorkerError as error:
        return Check(name=name, ok=False, detail=str(error), remedy="apt-get install iptables")
    remedy = "apt-get install iptables, or set XTABLES_LIBDIR to its extensions" if answer.problem else ""
    return Check(name=name, ok=not answer.problem, detail=answer.problem or "loads in its worker", remedy=remedy)


def _lock() -> Check:
    """Only whether it could be taken: taking it, however short, would fail another program that does not wait."""
    place = _LOCK if _LOCK.exists() else _LOCK.parent
    ok = os.access(place, os.W_OK)
    detail = str(place) if ok else f"{place} is not writable: a legacy rule could not be changed safely"
    return Check(name="xtables lock", ok=ok, detail=detail, remedy="" if ok else f"run as root, and mount the host's {_LOCK}")


def _front() -> Check:
    user, why = privilege.front_user()
    if user == privilege.NOBODY:
        return Check(name="front user", ok=True, detail=f"serve runs the front as user {user}, without capabilities")
    detail = f"serve keeps user {user} for the front, without capabilities: {why}"
    return Check(name="front user", ok=False, detail=detail, remedy="install kubereach where every user may read it")


def _user_namespace() -> Check:
    inside = privilege.in_user_namespace()
    detail = "inside one: root here is not the machine's root" if inside else "none: this is the machine's own"
    return Check(name="user namespace", ok=True, detail=detail)
