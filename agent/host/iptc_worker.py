"""The worker that owns python-iptables: a second reading of the legacy INPUT chain that shares nothing with the save tools.

A process of its own because the library crashes on threads, points fd 1 at pipes while it reads, and leaves namespaces
unnoticed. Started only where the kernel lists the legacy `filter` table: loading the library may load kernel modules, and
naming a table creates it. It reads and never writes: no commit is ever asked for.
"""

import ctypes.util
import glob
import os
import platform
import sys
import time
from pathlib import Path
from typing import Any

from agent.host import job
from agent.model.capture import LegacyChain, LegacyRule

_TABLES = Path("/proc/self/net/ip_tables_names")
_FILTER = "filter"
_EXTENSIONS: tuple[str, ...] = (
    *("/usr/lib/{machine}-linux-gnu*/xtables", "/usr/lib/*/xtables", "/usr/lib64/xtables", "/usr/lib/xtables"),
    *("/lib/*/xtables", "/lib64/xtables", "/lib/xtables", "/usr/local/lib/xtables", "/usr/libexec/xtables"),
)


def find_extensions() -> str | None:
    """The directory of the xtables extensions on this distribution, None where there is none."""
    for pattern in _EXTENSIONS:
        for directory in sorted(glob.glob(pattern.format(machine=platform.machine()))):  # noqa: PTH207  absolute patterns
            if next(Path(directory).glob("libxt_*.so"), None) is not None:
                return directory
    return None


def load() -> Any:
    """The library, or None where it cannot be imported; stderr then says why."""
    directory = find_extensions()
    if directory is not None:
        os.environ.setdefault("XTABLES_LIBDIR", directory)
    _shorten_import()
    try:
        import iptc  # noqa: PLC0415  its import looks for libraries, prints, and needs XTABLES_LIBDIR first
    except Exception as error:  # noqa: BLE001  it raises AttributeError, its own errors and bare ones at import
        sys.stderr.write(f"python-iptables cannot be loaded: {error}\n")
        return None
    return iptc


def _shorten_import() -> None:
    """Spares the library's import two detours, 310 ms to 50 ms (measured): it goes on without them by itself.

    It asks distutils, which loads all of setuptools, for a path that it otherwise takes from sysconfig; and it has ldconfig,
    gcc and ld search the system for its own C part, which lies beside it.
    """
    sys.modules["distutils"] = None  # type: ignore[assignment]  # the documented way to make an import fail
    search = ctypes.util.find_library
    ctypes.util.find_library = lambda name: None if "xtwrapper" in name else search(name)


def read_input(iptc: Any) -> LegacyChain:
    """Decodes `filter INPUT` of IPv4. Raises what the library raises."""
    started = time.monotonic()
    if _FILTER not in _TABLES.read_text().split():
        return LegacyChain(problem="the legacy table filter does not exist any more")
    # The library looks a target up among the chains of every table it knows, which would create them all and read each whole
    # (measured: 63 MiB more beside 100,000 rules in nat). It is told that there is but this one: a chain is of its own table.
    iptc.Table.existing_table_names.update({name: name == _FILTER for name in iptc.Table.ALL})
    chain = iptc.Chain(iptc.Table(_FILTER, autocommit=False), "INPUT")
    rules = tuple(_rule(number, rule) for number, rule in enumerate(chain.rules, start=1))
    return LegacyChain(policy=chain.get_policy().name, rules=rules, seconds=time.monotonic() - started)


def _rule(number: int, rule: Any) -> LegacyRule:
    target = rule.target
    return LegacyRule(
        number=number,
        target=(target.standard_target or target.name) if target is not None else "",
        protocol=str(rule.protocol),
        source=rule.src,
        destination=rule.dst,
        in_interface=rule.in_interface or "",
        matches=tuple(match.name for match in rule.matches),
        packets=rule.get_counters()[0],
    )


def main() -> None:
    """A job `{"read": true}` reads the chain, any other only says whether the library works."""
    iptc = load()

    def work(request: dict[str, Any]) -> LegacyChain:
        if iptc is None:
            return LegacyChain(problem="python-iptables cannot be loaded")
        return read_input(iptc) if request.get("read") else LegacyChain()

    job.serve(work)


if __name__ == "__main__":
    main()
