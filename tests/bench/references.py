"""Those we are measured beside, started as their users start them, in the lab only."""

import contextlib
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from agent.lab.topology import NODE
from tests.bench.client import Client
from tests.bench.machine import search_path
from tests.bench.results import NotMeasured
from tests.bench.world import World, beside

BLACKBOX, NODE_EXPORTER = "prometheus-blackbox-exporter", "prometheus-node-exporter"
PROBE = f"/probe?target={NODE.address}:10250&module=tcp_connect"
# A tcp probe with our own deadline for a connect, and nothing else.
_MODULES = "modules:\n  tcp_connect:\n    prober: tcp\n    timeout: 1s\n"
_BLACKBOX_PORT, _EXPORTER_PORT, UVICORN_PORT = 9115, 9100, 8000


def tool(name: str) -> str:
    """The path of a program. Raises `NotMeasured` where it is not installed."""
    found = shutil.which(name, path=search_path())
    if found is None:
        raise NotMeasured(f"{name} is not installed: ./setup-system bench")
    return found


@contextlib.contextmanager
def blackbox(world: World) -> Iterator[tuple[Client, int]]:
    """blackbox_exporter in the pod's network: its client and its pid."""
    with TemporaryDirectory() as folder:
        config = Path(folder) / "blackbox.yml"
        config.write_text(_MODULES)
        listen = f"--web.listen-address=127.0.0.1:{_BLACKBOX_PORT}"
        argv = [tool(BLACKBOX), f"--config.file={config}", listen, "--log.level=error"]
        with beside(world, argv, pod=True, port=_BLACKBOX_PORT) as pid:
            yield world.pod_client(_BLACKBOX_PORT), pid


@contextlib.contextmanager
def node_exporter(world: World) -> Iterator[tuple[Client, int]]:
    """node_exporter on the node with what it collects by default."""
    argv = [tool(NODE_EXPORTER), f"--web.listen-address=127.0.0.1:{_EXPORTER_PORT}", "--log.level=error"]
    with beside(world, argv, port=_EXPORTER_PORT) as pid:
        yield world.node_client(_EXPORTER_PORT), pid


@contextlib.contextmanager
def uvicorn(world: World) -> Iterator[tuple[Client, int]]:
    """uvicorn as it comes, with FastAPI and two routes of its own."""
    argv = [sys.executable, "-P", "-m", "tests.bench.stock", str(UVICORN_PORT)]
    with beside(world, argv, port=UVICORN_PORT) as pid:
        yield world.node_client(UVICORN_PORT), pid


def probe(client: Client, *, open_path: bool) -> None:
    """One probe by blackbox_exporter, whose answer must be the staged one. Raises `NotMeasured`."""
    status, content = client.ask("GET", PROBE)
    wanted = b"probe_success 1" if open_path else b"probe_success 0"
    if status != 200 or wanted not in content:
        raise NotMeasured(f"{BLACKBOX} did not answer {wanted.decode()}: HTTP {status}")
