"""Two writers in tight loops: `python -m tests.lab.fixing.lost_updates BACKEND WRITES WRITER`, on the lab's node.

The foreign one writes with `iptables -w`, and looks now and then whether all that it wrote is there. The other is
kubereach's own writer, or python-iptables' for comparison: that one takes no lock and writes back the table as it read it.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address
from threading import Event, Thread

from agent.host.errors import FixRefused
from agent.host.fixing import rules
from agent.host.fixing.filter_table import spec
from agent.host.fixing.tool import Tool
from agent.model.plan import Place
from tests.lab.fixing import rig

# Rules, and writes between two looks: few, so that each write is quick.
ROUND = 25
# So many times the writes that were asked for may be made while the other side waits for its turn.
_PATIENCE = 20
_IPTC = """
import os
from agent.host.iptc_worker import find_extensions
os.environ["XTABLES_LIBDIR"] = find_extensions()
import iptc
table = iptc.Table(iptc.Table.FILTER)
while True:
    try:
        table.refresh()
        chain = iptc.Chain(table, "INPUT")
        rule = iptc.Rule()
        rule.src = "10.99.0.0/16"
        rule.target = iptc.Target(rule, "ACCEPT")
        chain.insert_rule(rule)
        chain.delete_rule(rule)
    except iptc.IPTCError:
        pass
"""


def run(backend: str, writes: int, writer: str) -> dict[str, object]:
    """How many writes of each side were made, and lost."""
    rig.iptables(backend, "-N", "FOREIGN")
    over, mine = Event(), {"ours": 0, "ours lost": 0, "ours refused": 0}
    began = time.monotonic()
    if writer == "kubereach":
        thread = Thread(target=_ours, args=(backend, over, mine))
        thread.start()
        made, lost, failed = _foreign(backend, writes, lambda: bool(mine["ours"]))
        over.set()
        thread.join()
    else:
        with subprocess.Popen([sys.executable, "-c", _IPTC], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as other:
            made, lost, failed = _foreign(backend, writes, lambda: True)
            other.kill()
    return {"foreign": made, "foreign lost": lost, "foreign failed": failed, **mine, "seconds": round(time.monotonic() - began)}


def _foreign(backend: str, writes: int, answered: Callable[[], bool]) -> tuple[int, int, int]:
    """Replaces rules one by one, so that their number stays the same: what libiptc and the kernel could not notice.

    Goes on until the other side, which has to find a gap between two writes, has `answered` with one of its own.
    How many writes were made, were not there at the next look, and were refused by the tool itself.
    """
    for number in range(ROUND):
        rig.iptables(backend, "-A", "FOREIGN", "-s", _source(number), "-j", "RETURN")
    made = lost = failed = 0
    while made < writes or (made < _PATIENCE * writes and not answered()):
        wanted = []
        for number in range(1, ROUND + 1):
            source = _source(ROUND + made)
            argv = [f"{rig.IPTABLES}-{backend}", "-w", "-R", "FOREIGN", str(number), "-s", source, "-j", "RETURN"]
            done = subprocess.run(argv, capture_output=True, check=False)
            made += 1
            if done.returncode:
                failed += 1
            else:
                wanted.append(f"-A FOREIGN -s {source} -j RETURN")
        here = [line for line in rig.rules_of(backend) if line.startswith("-A FOREIGN")]
        lost += sum(line not in here for line in wanted)
    return made, lost, failed


def _source(serial: int) -> str:
    """Another address for each write: one that was lost cannot look like an earlier one that stands there still."""
    first = IPv6Address("fd00::") if rig.VERSION == 6 else IPv4Address("10.0.0.0")
    return f"{first + serial}/{first.max_prefixlen}"


def _ours(backend: str, over: Event, found: dict[str, int]) -> None:
    tool = Tool(backend, rig.VERSION)
    place = Place(backend=backend, chain="INPUT", before=next(line for line in rig.rules_of(backend) if "REJECT" in line))
    number = 0
    while not over.is_set():
        number += 1
        name = f"{number:012x}"
        rule = spec(rig.FLOW.source, rig.FLOW.destination, rig.FLOW.port, name)
        try:
            rules.put(tool, place, rule, lambda table: table.position("INPUT", place.before, 1) or 0, 5.0)
        except FixRefused:
            found["ours refused"] += 1
            continue
        found["ours"] += 1
        if rules.remove(tool, lambda fix, _chain, _rule, name=name: fix == name, 5.0) != 1:
            found["ours lost"] += 1


if __name__ == "__main__":
    print(json.dumps(run(sys.argv[1], int(sys.argv[2]), sys.argv[3])))
