"""Faults and guards, a function each: `python -m tests.lab.fixing.cases BACKEND [WORD]`, on the lab's node.

Says in JSON what became of each: empty where it held, else the trace. Each starts with the incident's own rules and no state.
"""

import subprocess
import traceback
from collections.abc import Callable

from agent.host.fixing import lease
from tests.lab.fixing import rig
from tests.lab.fixing.cases import ends, farewell, guards, life, state, tools, writes

Case = Callable[[str], None]
CASES: dict[str, Case] = {
    name.removeprefix("case_"): case
    for group in (ends, farewell, guards, life, state, tools, writes)
    for name, case in vars(group).items()
    if name.startswith("case_")
}


def main(backend: str, only: str = "") -> dict[str, str]:
    """Runs every case, or those whose name has a word in it."""
    pristine, found = rig.saved(backend), {}
    for name, case in sorted(CASES.items()):
        if only and only not in name:
            continue
        try:
            case(backend)
            found[name] = ""
        except Exception:  # noqa: BLE001  whatever it is, it is this case's answer
            found[name] = traceback.format_exc()
        rig.forget_state()
        rig.restore(backend, pristine)
        subprocess.run(
            ["sh", "-c", "nft delete table ip unrelated; nft delete table ip flap"], capture_output=True, check=False
        )
        for left in lease.our_sets():
            lease.destroy_set(left)
    return found
