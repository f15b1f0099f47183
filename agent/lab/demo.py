"""The whole story on stage, unattended: blocked, plan, fix, a connect, confirmed, its end. `make demo` runs it.

Each line is a command as a person would type it on the node, followed by what it prints.
"""

import shlex
import sys

from agent.lab import commands

_STORY = (
    "diagnose --brief",
    "fix plan -o json > /run/lab/plan.json",
    "fix apply --allow-fix --plan /run/lab/plan.json",
    "diagnose --brief",
    'fix confirm --allow-fix --for 600 "$ID"',
    'fix revert --allow-fix "$ID"',
    "diagnose --brief",
    "fix list --allow-fix",
    "fix audit verify --allow-fix",
)


def script(python: str = sys.executable) -> str:
    """The story as a shell script for the lab's node. It ends with 0 where each step ended as it should."""
    command = f"{shlex.quote(python)} -P -m agent.cli.app"
    lines = ["expect=0"]
    for step, words in enumerate(_STORY):
        lines.append(f"printf '$ kubereach %s\\n' {shlex.quote(words)}")
        lines.append(f"{command} {words}; status=$?")
        wanted = 1 if step in (0, 6) else 0  # what is blocked is a problem
        lines.append(f'[ "$status" = {wanted} ] || expect=1')
        if step == 1:
            lines.append('ID=$(sed -n \'s/^ *"id": "\\([0-9a-f]*\\)".*/\\1/p\' /run/lab/plan.json | head -n 1)')
        lines.append("echo")
    return "\n".join((*lines, "exit $expect"))


if __name__ == "__main__":
    raise SystemExit(commands.run("centos-reject", None, ["--", "sh", "-c", script()]))
