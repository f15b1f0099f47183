"""What scapy loads at its import, keeps, and no packet of ours asks for; and where it would keep it on the node's disk.

Half of the memory that importing it costs: forty thousand makers of network cards, Bluetooth's companies, and the cryptography
of protocols that we do not speak. A copy of them it writes to the user's cache and reads there next time: nothing is written on
a node for that, and nothing that lies there is taken for our own. A scapy that has moved these costs more memory and works.
"""

import os
import sys
from types import ModuleType

# A directory that cannot be made or be there: its parent is no directory.
_NOWHERE = "/dev/null/none"
# scapy/data.py, `load_manuf` and `load_bluetoothids`: tables that are modules of their own, taken where no file is found.
_EMPTY: dict[str, object] = {"scapy.libs.manuf": "", "scapy.libs.bluetoothids": {}}


def leave_out() -> None:
    """Prepares this process for an import of scapy; call it before."""
    for name in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"):  # scapy/main.py, `_probe_xdg_folder`
        os.environ[name] = _NOWHERE
    for name, data in _EMPTY.items():
        table = ModuleType(name)
        table.__dict__["DATA"] = data
        sys.modules.setdefault(name, table)
    sys.modules.setdefault("cryptography", None)  # type: ignore[arg-type]  # as the import system has it: there is none
