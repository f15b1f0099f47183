"""What starting the command costs."""

import subprocess
import sys


def test_help_and_offline_commands_load_nothing_heavy():
    code = (
        "import sys, agent.cli.app; "
        "print([name for name in ('fastapi', 'uvicorn', 'psutil', 'scapy', 'iptc', 'lightkube', 'yaml', 'cryptography',"
        " 'prometheus_client', 'rich', 'agent.lab') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=20)
    assert done.stdout == "[]\n"
