"""The whole story on stage, unattended: blocked, plan, fix, a connect, confirmed, its end. `make demo` runs it.

Each line is a command as a person would type it on the node, followed by what it prints.
"""

import shlex
import sys

from agent.lab import commands

_FILE = "/run/lab/plan.json"
# What is typed, and the exit code that it has: what is blocked is a problem. Nobody takes the rule out: its lease ends.
_STORY = (
    ("kubereach diagnose --brief", 1),
    (f"kubereach fix plan -o json > {_FILE}", 0),
    (f"kubereach fix apply --allow-fix --plan {_FILE}", 0),
    ("kubereach diagnose --brief", 0),
    ('kubereach fix confirm --allow-fix --for 5 "$ID"', 0),
    ("sleep 6", 0),
    ("kubereach diagnose --brief", 1),
    ("kubereach fix list --allow-fix", 0),
    ("kubereach diagnose --brief", 1),
    ("kubereach fix audit verify --allow-fix", 0),
)


def script(python: str = sys.executable) -> str:
    """The story as a shell script for the lab's node. It ends with 0 where each step ended as it should."""
    lines = [f'kubereach() {{ {shlex.quote(python)} -P -m agent.cli.app "$@"; }}', "expect=0"]
    for words, wanted in _STORY:
        lines.append(f"printf '$ %s\\n' {shlex.quote(words)}")
        lines.append(f"{words}; status=$?")
        lines.append(f'[ "$status" = {wanted} ] || expect=1')
        if _FILE in words and "plan -o" in words:
            lines.append(f'ID=$(sed -n \'s/^ *"id": "\\([0-9a-f]*\\)".*/\\1/p\' {_FILE} | head -n 1)')
        lines.append("echo")
    return "\n".join((*lines, "exit $expect"))


if __name__ == "__main__":
    raise SystemExit(commands.run("centos-reject", None, ["--", "sh", "-c", script()]))
