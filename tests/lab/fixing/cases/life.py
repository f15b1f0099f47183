"""A fix from its beginning to its end, and whoever else may ask for one."""

import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from threading import Thread

from agent.host import operations
from agent.host.fixing import lease
from agent.lab.topology import METRICS_SERVER, NODE, PEER, STATE_DIR, WEB
from tests.lab.fixing import rig
from tests.lab.fixing.cases.setting import SHORT, by, refused

PORTS = (
    *(10250, 22, 53, 80, 179, 443, 2379, 2380, 4443, 6443, 8080, 9100, 10248, 10249, 10251, 10255, 10256, 10257),
    *(10259, 10270, 12345, 30000, 32767, 65535, 1),
)
# Both nodes', on their link and on their bridges.
_ADDRESSES = {
    4: (NODE.address, "10.244.4.1", PEER.address, "10.244.5.1"),
    6: (NODE.address6, "fd00:10:244:4::1", PEER.address6, "fd00:10:244:5::1"),
}
# All at once: over IPv6 the kernel hears a REJECT of its own node only when it has sent a second SYN, a second later.
_CONNECTS = (
    "import json, socket, sys\n"
    "from concurrent.futures import ThreadPoolExecutor\n"
    "def outcome(target):\n"
    "    with socket.socket(socket.AF_INET6 if ':' in target[0] else socket.AF_INET) as sock:\n"
    "        sock.settimeout(4)\n"
    "        return sock.connect_ex(tuple(target))\n"
    "targets = json.loads(sys.argv[1])\n"
    "print(json.dumps(list(ThreadPoolExecutor(len(targets)).map(outcome, targets))))\n"
)


def _outcomes(targets: list[tuple[str, int]]) -> dict[tuple[str, str, int], int]:
    """The errno of a connect from each pod to each target."""
    found = {}
    for pod in (METRICS_SERVER, WEB):
        argv = ["nsenter", f"--net={pod.namespace}", sys.executable, "-P", "-c", _CONNECTS, json.dumps(targets)]
        done = subprocess.run(argv, capture_output=True, text=True, check=True)
        found |= {(pod.name, *target): errno for target, errno in zip(targets, json.loads(done.stdout), strict=True)}
    return found


def case_an_accept_opens_ends_by_itself_and_leaves_nothing(backend: str) -> None:
    pod, fixer, pristine = rig.Pod(), rig.fixer(), rig.rules_of(backend)
    assert not pod.gets_through()
    began = time.time()
    fix = fixer.apply(rig.order(fixer, backend, SHORT))
    assert pod.gets_through()
    (rule,) = rig.ours(backend)
    assert rig.rules_of(backend).index(rule) == len(pristine) - 1
    rig.until(fix.ends + 1.1)  # with nobody of ours at work
    assert not pod.gets_through(), time.time() - began
    assert rig.ours(backend) == [rule]
    assert [str(item.state) for item in rig.fixer().sweep().fixes] == ["expired"]
    assert rig.rules_of(backend) == pristine
    assert lease.our_sets() == ()
    assert fix.set_name


def case_confirm_extends_and_revert_ends(backend: str) -> None:
    pod, fixer, pristine = rig.Pod(), rig.fixer(twin=rig.said), rig.rules_of(backend)
    fix = fixer.apply(rig.order(fixer, backend, SHORT))
    with refused("changed", "on trial"):
        fixer.confirm(operations.ConfirmArguments(fix.id, 60, "test"))  # nobody has tried it by a connect
    fixer.verified(by(fix.id))
    fixer.confirm(operations.ConfirmArguments(fix.id, 60, "test"))
    assert len(rig.ours(backend)) == 1
    rig.until(fix.ends + 2)
    assert pod.gets_through()
    fixer.confirm(operations.ConfirmArguments(fix.id, 30, "test"))
    assert fixer.revert(by(fix.id)).state == "reverted"
    assert fixer.revert(by(fix.id)).state == "reverted"
    assert rig.rules_of(backend) == pristine
    assert not pod.gets_through()


def case_two_operators_get_one_rule_and_one_fix(backend: str) -> None:
    fixer = rig.fixer(twin=rig.said)
    orders = [rig.order(fixer, backend) for _ in range(8)]
    found: list[str] = []
    threads = [Thread(target=lambda each=each: found.append(fixer.apply(each).id)) for each in orders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1
    assert len(rig.ours(backend)) == 1


def case_at_most_four_are_alive(backend: str) -> None:
    fixer = rig.fixer(twin=rig.said)
    for number in range(5):
        flow = replace(rig.FLOW, source=rig.part(number))
        each = rig.order(fixer, backend, flow=flow)
        if number < 4:
            fixer.apply(each)
        else:
            with refused("guard", "alive"):
                fixer.apply(each)
    assert len(rig.ours(backend)) == 4


def case_open_connections_outlive_it_unless_they_are_cut(backend: str) -> None:
    for cut in (False, True):
        fixer = rig.fixer(twin=rig.said)
        fix = fixer.apply(rig.order(fixer, backend, cut_flows=cut))
        code = (
            "import socket, sys\n"
            f"sock = socket.create_connection(('{rig.NODE_ADDRESS}', 10250))\n"
            "print('open', flush=True)\n"
            "sys.stdin.readline()\n"
            "sock.settimeout(1)\n"
            "sock.sendall(b'not TLS at all, so that the server answers or hangs up\\n\\n')\n"
            "try:\n"
            "    print('answered', len(sock.recv(100)) >= 0)\n"
            "except TimeoutError:\n"
            "    print('silent')\n"
            "except OSError as error:\n"
            "    print('answered' if error.errno == 104 else 'silent', error)\n"
        )
        argv = ["nsenter", f"--net={WEB.namespace}", sys.executable, "-c", code]
        with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as client:
            assert client.stdout
            assert client.stdin
            assert client.stdout.readline() == "open\n"
            fixer.revert(by(fix.id))
            client.stdin.write("go\n")
            client.stdin.flush()
            answer = client.stdout.read().split()[0]
        assert answer == ("silent" if cut else "answered"), (cut, answer)
        rig.forget_state()


def case_nothing_else_becomes_reachable(backend: str) -> None:
    """200 real connects of both pods, before, with and after: only those to the kubelet's own port end otherwise."""
    targets = [(address, port) for address in _ADDRESSES[rig.VERSION] for port in PORTS]
    # Or the kernel answers six of the REJECTs and rations the rest to one a second: the others would only wait.
    for name in ("ipv4/icmp_ratelimit", "ipv6/icmp/ratelimit"):
        Path("/proc/sys/net", name).write_text("0")
    before, fixer = _outcomes(targets), rig.fixer(twin=rig.said)
    fix = fixer.apply(rig.order(fixer, backend))
    during = _outcomes(targets)
    fixer.revert(by(fix.id))
    assert len(before) == 2 * len(targets) == 200
    kubelet = [(pod.name, rig.NODE_ADDRESS, 10250) for pod in (METRICS_SERVER, WEB)]
    assert [key for key in before if before[key] != during[key]] == kubelet
    assert [during[key] for key in kubelet] == [0, 0]
    assert _outcomes(targets) == before


def case_without_leave_nothing_is_done(backend: str) -> None:
    made = rig.order(rig.fixer(twin=rig.said), backend)
    fixer = rig.fixer(replace(rig.SETTINGS, allow_fix=False), rig.said)
    for ask in (
        lambda: fixer.apply(made),
        lambda: fixer.verified(by(made.id)),
        lambda: fixer.confirm(operations.ConfirmArguments(made.id, 60, "test")),
        lambda: fixer.revert(by(made.id)),
        fixer.sweep,
    ):
        with refused("guard", "--allow-fix"):
            ask()
    assert rig.ours(backend) == []
    assert not STATE_DIR.exists()
