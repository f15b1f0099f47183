"""Asked without end and by many at once: nothing is left behind, nothing grows, and whoever asks for life is answered.

N5, N7 and N8 of the threats: the sizes here suit a test run; KUBEREACH_LOOKS and KUBEREACH_POSTS make them what one likes.
"""

import asyncio
import contextlib
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import httpx
import pytest

from tests.lab.staged import await_that, command_line, parent_of, pids
from tests.service.running import serving

MIB = 1024 * 1024
LOOKS = int(os.environ.get("KUBEREACH_LOOKS", "60"))
POSTS = int(os.environ.get("KUBEREACH_POSTS", "1000"))
# More than are answered at once (32), and fewer than may wait with nothing to say (64) before the oldest has to go.
AT_ONCE = 48
# What conntrack really holds: a dump leaves out entries whose time is up, which the kernel's own count has for minutes more.
TRACKED = """
import select, socket, sys
from agent.host.fixing import flows
print("watching", flush=True)
while not select.select([sys.stdin], [], [], 0.1)[0]:
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12) as sock:
        sock.bind((0, 0))
        print(sum(1 for _ in flows._entries(sock, socket.AF_INET)))
"""
# As a kubelet asks: a connection for each. Milliseconds.
KNOCK = """
import select, socket, sys, time
print("watching", flush=True)
while not select.select([sys.stdin], [], [], 0.02)[0]:
    started = time.perf_counter()
    with socket.create_connection(("127.0.0.1", int(sys.argv[1])), 30) as sock:
        sock.sendall(b"GET /livez HTTP/1.1\\r\\nHost: node\\r\\nConnection: close\\r\\n\\r\\n")
        answer = b""
        while part := sock.recv(4096):
            answer += part
    assert answer.startswith(b"HTTP/1.1 200 ") and answer.endswith(b"ok\\n"), answer
    print((time.perf_counter() - started) * 1e3)
"""


@pytest.fixture
def service(tmp_path):
    """One for each test, since conntrack remembers the last one's connections for ten seconds."""
    with serving(tmp_path, "centos-reject", insecure=True) as running:
        yield running


def below(service):
    """Every process of the service by pid."""
    parents, found = {pid: parent_of(pid) for pid in pids()}, {service.pid_of("agent.host.supervisor")}
    while grown := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= grown
    return found


def footprint(service):
    """Descriptors and threads of the three that last, and how many processes there are of each kind."""
    held = {
        module: (len(list((process / "fd").iterdir())), len(list((process / "task").iterdir())))
        for module in ("agent.host.supervisor", "agent.host.broker", "agent.api.front")
        for process in (Path(f"/proc/{service.pid_of(module)}"),)
    }
    return held, Counter(command_line(pid).split(" --")[0] for pid in below(service))


def look(service, count):
    """So many diagnoses, by two callers in turn; a limit that is met is waited for."""
    with service.client() as tcp, service.unix() as unix:
        for number in range(count):
            while (answer := (tcp, unix)[number % 2].post("/v1/diagnoses")).status_code == 429:
                time.sleep(int(answer.headers["Retry-After"]))
            assert answer.status_code == 201, answer.text
            outcomes = {probe["vantage"]: probe["outcome"] for probe in answer.json()["report"]["probes"]}
            assert outcomes == {"pod": "host-prohibited", "host": "open", "peer": "open"}


@pytest.mark.timeout(60 + 10 * LOOKS)
def test_looks_without_end_leave_nothing_behind(service):
    look(service, 52)  # as many reports as are kept: from here on each displaces another
    (before, family), memory = footprint(service), (service.resident(), service.resident("agent.host.broker"))
    look(service, LOOKS)

    def settled():
        now, kinds = footprint(service)
        few = all(abs(a - b) <= 2 for module in before for a, b in zip(now[module], before[module], strict=True))
        return few and not kinds - family

    await_that(settled, f"{footprint(service)} is left where {before}, {family} was")
    grown = [service.resident() - memory[0], service.resident("agent.host.broker") - memory[1]]
    print(f"{LOOKS} looks, {3 * LOOKS} probes: front {grown[0] / MIB:+.1f} MiB, broker {grown[1] / MIB:+.1f} MiB")
    assert max(grown) <= 5 * MIB


async def ask_all(service):
    """POSTs from many connections at once: how often each status was met."""
    statuses, queue = Counter(), asyncio.Queue()
    for number in range(POSTS):
        queue.put_nowait("true" if number % 2 else "false")

    async def post(client):
        with contextlib.suppress(asyncio.QueueEmpty):
            while True:
                wait = queue.get_nowait()
                statuses[(await client.post("/v1/diagnoses", params={"wait": wait})).status_code] += 1

    # A connection for each: one that is kept may be closed by the server's five seconds just as a slow client takes it again.
    limits = httpx.Limits(max_connections=AT_ONCE, max_keepalive_connections=0)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{service.port}", timeout=60, limits=limits) as client:
        await asyncio.gather(*(post(client) for _ in range(AT_ONCE)))
    return statuses


@contextlib.contextmanager
def watching(*argv):
    """A program that watches until its input ends; what it said is in the list then."""
    said = []
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout.readline() == "watching\n"
        yield said
        said += program.communicate()[0].split()
        assert program.returncode == 0


@pytest.mark.timeout(120 + POSTS // 10)
def test_a_thousand_posts_at_once_settle_and_hold_few_connections_on_the_node(service):
    look(service, 1)
    (before, _), memory = footprint(service), service.resident()
    python = (sys.executable, "-P", "-c")
    with watching(*service.on_node(*python, TRACKED)) as tracked, watching(*python, KNOCK, str(service.port)) as alive:
        statuses = asyncio.run(ask_all(service))
    most, times, grown = max(map(int, tracked)), sorted(map(float, alive)), service.resident() - memory
    median, late = times[len(times) // 2], times[len(times) * 99 // 100]
    print(f"{dict(statuses)}; /livez median {median:.1f} ms, p99 {late:.1f} ms; +{grown / MIB:.1f} MiB; conntrack {most}")
    assert statuses.total() == POSTS
    assert set(statuses) <= {201, 202, 429}
    assert statuses[201] + statuses[202] > 0
    assert 0 < most <= 128  # 30 looks at once and one a second for the ten that conntrack remembers, of three connections each
    assert grown <= 10 * MIB

    def closed():
        now = footprint(service)[0]
        return all(now[module][0] <= before[module][0] + 2 for module in before)

    await_that(closed, "descriptors are left")
