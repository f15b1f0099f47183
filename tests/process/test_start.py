"""What starting the command costs."""

import subprocess
import sys


def test_naming_no_command_loads_none():
    code = "import sys, agent.cli.app; print([name for name in sys.modules if name.startswith('agent.analysis')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=20)
    assert done.stdout == "[]\n"


def test_help_and_offline_commands_load_nothing_heavy():
    code = (
        "import sys, agent.cli.app; from importlib import import_module; from agent.cli.commands import PLACES; "
        "[import_module(place) for place in PLACES.values()]; "
        "print([name for name in ('fastapi', 'uvicorn', 'psutil', 'scapy', 'iptc', 'lightkube', 'yaml', 'cryptography',"
        " 'prometheus_client', 'rich', 'agent.lab') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=20)
    assert done.stdout == "[]\n"
