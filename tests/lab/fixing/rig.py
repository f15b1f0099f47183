"""The broker's half of a fix in this process, on the lab's node: orders, connects from a pod, rules as the tools print them.

All of it in the IP version that KUBEREACH_LAB_IP says, 4 or 6: the lab then is one whose pods have that one.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from ipaddress import ip_network
from threading import Thread

from agent.host import command, operations
from agent.host.answers import Answers
from agent.host.fixing import rules
from agent.host.fixing.fixer import Fixer
from agent.host.fixing.journal import Journal
from agent.host.fixing.opening import Eyes
from agent.host.fixing.tool import Tool
from agent.host.node import pod_route
from agent.host.workers import Workers
from agent.lab.rules import POD_CIDR, POD_CIDR6
from agent.lab.topology import CNI_DIR, NODE, STATE_DIR, WEB
from agent.model.capture import Processes
from agent.model.fix import Fix
from agent.model.plan import Flow, LeaseKind, Order, Place
from agent.model.settings import Settings
from agent.model.twin import TwinRequest, TwinResult, TwinVerdict

VERSION = int(os.environ.get("KUBEREACH_LAB_IP", "4"))
NODE_ADDRESS = NODE.address6 if VERSION == 6 else NODE.address
IPTABLES = "ip6tables" if VERSION == 6 else "iptables"
FLOW = Flow(source=POD_CIDR6 if VERSION == 6 else POD_CIDR, destination=NODE_ADDRESS, port=10250)
# Without it no neighbour is found, and nothing at all gets through.
NEIGHBOURS = ("-p", "ipv6-icmp", "-j", "ACCEPT")
__all__ = ["LeaseKind"]
SETTINGS = Settings(node_name=NODE.name, cni_dirs=(str(CNI_DIR),), allow_fix=True, state_dir=str(STATE_DIR), trial=60)
# One connect, in the pod's namespace for the whole of this process's life: a line asks, a line answers.
_CONNECT = (
    "import socket, sys\n"
    "for line in sys.stdin:\n"
    f"    with socket.socket(socket.AF_INET{6 if VERSION == 6 else ''}) as sock:\n"
    "        sock.settimeout(0.3)\n"
    f"        print(sock.connect_ex(('{NODE_ADDRESS}', 10250)), flush=True)\n"
)


class Pod:
    """A pod that connects when it is asked."""

    def __init__(self) -> None:
        argv = ["nsenter", f"--net={WEB.namespace}", sys.executable, "-P", "-c", _CONNECT]
        self._process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def gets_through(self) -> bool:
        """Whether a new connection is accepted now."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write("?\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline()) == 0


def said(request: TwinRequest) -> TwinResult:
    """The twin's word, for runs by the thousand that are not about the twin: stopped as it is, let in with our rule."""
    return TwinResult(verdict=TwinVerdict.REJECT if request.insert is None else TwinVerdict.ACCEPT)


def fixer(
    settings: Settings = SETTINGS, twin: Callable[[TwinRequest], TwinResult] | None = None, *, stays: bool = False
) -> Fixer:
    """The broker's fixer with its real eyes; where a twin is given, without the workers, whose start takes longest."""
    answers = Answers(settings, Workers(), lambda _: None)
    if twin is None:
        return answers.fixer
    return Fixer(settings, Eyes(answers.node, Processes, answers._rules, pod_route, twin), stays=stays)


def order(of: Fixer, backend: str, lease: int = 60, **more: object) -> Order:
    """An order for what the ground shows now, before the last rule of INPUT (or its policy, where that drops)."""
    ground = of.ground(operations.GroundArguments(backend, VERSION, "INPUT"))
    before = "" if ground.policy == "DROP" else ground.rules[-1]
    place = Place(backend=backend, chain="INPUT", before=before, nth=ground.rules.count(before) or 1)
    made = Order(id=os.urandom(6).hex(), flow=FLOW, place=place, digest=ground.digest, lease=lease, caller="test")
    return replace(made, **more)  # type: ignore[arg-type]


def saved(backend: str) -> str:
    """The filter table as its tool prints it."""
    return Tool(backend, VERSION).save()


def rules_of(backend: str) -> list[str]:
    """The rules of the filter table alone."""
    return [line for line in saved(backend).splitlines() if line.startswith("-A")]


def ours(backend: str) -> list[str]:
    """Rules that carry a fix's name."""
    return [line for line in rules_of(backend) if "kubereach:" in line]


def iptables(backend: str, *words: str) -> None:
    """A foreign writer's change; it must work."""
    subprocess.run([f"{IPTABLES}-{backend}", "-w", *words], check=True, capture_output=True)


def restore(backend: str, text: str) -> None:
    """As a reload does it: the tables that the text has are that text's from now on."""
    subprocess.run([f"{IPTABLES}-{backend}-restore", "-w"], input=text, text=True, check=True)


def part(number: int) -> str:
    """One sixteenth of the pods' network."""
    return str(list(ip_network(FLOW.source).subnets(4))[number])


def pod_address(number: int) -> str:
    """One address of the pods' network, as a network of its own."""
    return str(ip_network(ip_network(FLOW.source)[number]))


def state_of(fix: Fix) -> str:
    """What the journal says of it now."""
    with Journal(str(STATE_DIR)).held() as journal:
        return next(str(item.state) for item in journal.fixes().fixes if item.id == fix.id)


def forget_state() -> None:
    """An empty state directory and no rule of ours, as on a node that never had one."""
    shutil.rmtree(STATE_DIR, ignore_errors=True)
    for tool in rules.tools():
        rules.remove(tool, lambda *_: True, 5.0)


def until(moment: float) -> None:
    """Sleeps until then, on the wall clock."""
    time.sleep(max(0.0, moment - time.time()))


def forked(work: Callable[[], object]) -> int:
    """A copy of this process that does the work and ends; its pid. The thread that starts programs is not copied."""
    child = os.fork()
    if child:
        return child
    try:
        command._spawner = ThreadPoolExecutor(1)
        work()
    finally:
        os._exit(0)


def in_background(work: Callable[[], object]) -> Thread:
    """Runs beside what follows."""
    thread = Thread(target=work, daemon=True)
    thread.start()
    return thread
