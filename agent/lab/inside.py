"""The first process of the sandbox: stages an incident, runs one program on the node, and takes all with it when it ends.

It is pid 1 of its pid namespace. The kernel gives it every orphan to reap, delivers no signal it has no handler for, and kills
all that is left when it exits; with the last process go the namespaces, their interfaces, rules and mounts.
"""

import json
import os
import select
import signal
import sys

from agent.host import command
from agent.lab.errors import LabError
from agent.lab.handover import Plan
from agent.lab.incidents import find_incident
from agent.lab.stage import stage
from agent.lab.topology import CNI_DIR, ETC_DIR, NODE, STATE_DIR, within
from agent.model.codec import from_plain
from agent.model.exitcode import ExitCode

# How a shell tells that a command died of a signal (POSIX 2.8.2): 128 and the signal's number.
_FAREWELL_SECONDS = 2.0  # a supervisor has its front end, which answers what it has begun
_KILLED = 128

# What every kubereach on stage is told, as its commands read it: the machine's own name, CNI and cluster are not the node's.
SETTINGS = {
    "KUBEREACH_NODE_NAME": NODE.name,
    "KUBEREACH_CNI_DIR": str(CNI_DIR),
    "KUBEREACH_ETC_DIR": str(ETC_DIR),
    "KUBEREACH_STATE_DIR": str(STATE_DIR),
    "KUBECONFIG": "",
    "KUBERNETES_SERVICE_HOST": "",
}


def main() -> int:
    """Carries out the plan of the only argument; the exit code is the program's, or `BLIND` where nothing could be staged."""
    plan = from_plain(Plan, json.loads(sys.argv[1]))
    for ending in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(ending, _leave)
    try:
        stage(find_incident(plan.incident), plan.backend, plan.cgroup)
        return _run(plan)
    except LabError as error:
        print(f"kubereach: {error}", file=sys.stderr)
        return ExitCode.BLIND


def _run(plan: Plan) -> int:
    woken, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.signal(signal.SIGCHLD, lambda *_: None)  # a handler, so that the wake-up descriptor hears of it
    signal.set_wakeup_fd(wake)
    try:
        child = command.spawn(within(NODE.namespace, *plan.argv), pass_fds=plan.keep, piped=False, environment=SETTINGS)
    except OSError as error:
        raise LabError(f"{plan.argv[0]} could not be started: {error}") from error
    for descriptor in plan.keep:
        os.close(descriptor)
    while (status := child.status) is None:
        readable, _, _ = select.select([plan.lifeline, woken], [], [])
        if plan.lifeline in readable:
            child.terminate()
            child.end(_FAREWELL_SECONDS)
            return _KILLED + signal.SIGTERM
        os.read(woken, 4096)
        _reap_orphans(child.pid)
    return status if status >= 0 else _KILLED - status


def _reap_orphans(spared: int) -> None:
    """Reaps every dead child but `spared`, whose status somebody else asks for."""
    while True:
        try:
            dead = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if dead is None or dead.si_pid == spared:
            return
        os.waitpid(dead.si_pid, 0)


def _leave(number: int, _: object) -> None:
    sys.exit(_KILLED + number)


if __name__ == "__main__":
    sys.exit(main())
