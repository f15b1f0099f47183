"""agent.host.scapy_tables: an import of scapy that is small, and that neither writes to the node's disk nor trusts it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

CODE = """
import json, sys
import {module}
from scapy.data import BLUETOOTH_CORE_COMPANY_IDENTIFIERS, MANUFDB
from scapy.main import SCAPY_CACHE_FOLDER
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(json.dumps({{
    "makers": len(MANUFDB), "companies": len(BLUETOOTH_CORE_COMPANY_IDENTIFIERS), "cache": str(SCAPY_CACHE_FOLDER),
    "cryptography": sys.modules["cryptography"] is not None, "kib": int(status["RssAnon"].split()[0]),
}}))
"""


@pytest.mark.parametrize("module", ["agent.host.twin_worker", "agent.host.phantom.arp"])
def test_what_no_packet_asks_for_is_not_loaded_and_nothing_is_kept(tmp_path: Path, module: str) -> None:
    environment = {**os.environ, "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    argv = [sys.executable, "-P", "-c", CODE.format(module=module)]
    done = subprocess.run(argv, capture_output=True, text=True, env=environment, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    kib = found.pop("kib")
    assert found == {"makers": 0, "companies": 0, "cache": "None", "cryptography": False}
    assert kib < 28 * 1024  # 20 MiB; with them 39
    assert list(tmp_path.iterdir()) == []
