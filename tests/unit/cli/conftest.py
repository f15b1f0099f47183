"""Commands run in process, on a host in memory."""

import pytest
import typer
from typer.testing import CliRunner

from agent.cli import live
from agent.cli.app import app
from agent.model.preflight import Check
from agent.service.fake import FakeHost
from agent.service.senses import Senses

COMMAND = typer.main.get_command(app)


@pytest.fixture
def run(monkeypatch):
    """Runs `kubereach ARGS...` with nothing of this machine's environment."""
    # The runner builds all commands anew for each call, which is most of what these tests would take.
    monkeypatch.setattr("typer.testing._get_command", lambda _: COMMAND)
    for name in ("NODE_NAME", "NODE_IP", "POD_CIDR", "PEER", "KUBELET_PORT", "CNI_DIR", "NETNS_DIR", "CONNECT_TIMEOUT"):
        monkeypatch.delenv(f"KUBEREACH_{name}", raising=False)

    def invoke(*args, **more):
        return CliRunner().invoke(app, [str(arg) for arg in args], **more)

    return invoke


@pytest.fixture
def host(monkeypatch, capture):
    """The node that live commands see."""
    fake = FakeHost(capture, checks=(Check(name="CAP_NET_ADMIN", ok=True), Check(name="nft", ok=False, detail="not found")))
    monkeypatch.setattr(live, "attach", lambda _: fake)
    monkeypatch.setattr(live, "SENSES", Senses(fake.probe, fake.node_object))
    return fake
