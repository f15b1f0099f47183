"""Reads this namespace's whole firewall once and says how long that took: `python -m tests.bench.reading_program WHOSE`.

Without the start of an interpreter and without imports, for both: `kubereach` reads and types every rule of both prints of a
backend, `python-iptables` turns each rule into its dictionary, as `iptc.easy` has it.
"""

import gc
import sys
import time

from agent.analysis.readers.read import read_firewall
from agent.host import firewall, iptc_worker
from agent.model.capture import Firewall


def read_ours() -> int:
    """How many rules were typed; ends the program where something could not be read."""
    captured: Firewall = firewall.capture()
    if captured.problems or any(reading.status != 0 for reading in captured.readings):
        sys.exit("; ".join([each.why for each in captured.problems] + [each.problem for each in captured.readings]))
    # Rules lie uncut until somebody looks at their chain: here somebody looks at all.
    return sum(1 for table in read_firewall(captured).tables for chain in table.chains for _ in chain.rules)


def read_with_iptc() -> int:
    """The same by python-iptables, nat and filter."""
    iptc = iptc_worker.load()
    if iptc is None:
        sys.exit("python-iptables cannot be loaded")
    global start  # noqa: PLW0603  the library's import is not the reading
    start = time.perf_counter()
    return sum(len(rules) for name in ("nat", "filter") for rules in iptc.easy.dump_table(name).values())


if __name__ == "__main__":
    gc.disable()  # as in our commands: what is only ever made is not worth walking
    start = time.perf_counter()
    rules = read_ours() if sys.argv[1] == "kubereach" else read_with_iptc()
    print((time.perf_counter() - start) * 1000, rules)
