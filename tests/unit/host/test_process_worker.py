import os
import socket

import psutil
import pytest

from agent.host import listeners, process_worker


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (["kubelet", "--node-ip=10.0.0.1", "--port", "10250"], ("kubelet", "--node-ip=10.0.0.1", "--port", "10250")),
        (["k3s", "--token=K10abc::server:def"], ("k3s", "--token=***")),
        (["k3s", "--token", "K10abc", "--node-ip", "1.2.3.4"], ("k3s", "--token", "***", "--node-ip", "1.2.3.4")),
        (["x", "--agent-token", "-starts-with-a-dash"], ("x", "--agent-token", "***")),
        (["x", "--Db-Password=hunter2", "-secret=a=b"], ("x", "--Db-Password=***", "-secret=***")),
        (["x", "--authentication-token-webhook", "--v=2"], ("x", "--authentication-token-webhook", "--v=2")),
        (["x", "--datastore-endpoint=postgres://u:p@db/k3s"], ("x", "--datastore-endpoint=postgres://***@db/k3s")),
        (["x", "--authentication-token-webhook=true"], ("x", "--authentication-token-webhook=true")),
        (["x", "--tls-private-key-file=/etc/key"], ("x", "--tls-private-key-file=***")),
    ],
)
def test_secrets_are_not_shown(given: list[str], shown: tuple[str, ...]) -> None:
    assert process_worker.redact(given) == shown


def test_listeners_are_seen_with_their_owner() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        found = process_worker.look({})
    (listener,) = [listener for listener in found.listeners if listener.port == port]
    assert (listener.address, listener.pid) == ("127.0.0.1", os.getpid())
    assert found.seconds > 0


def test_the_kernel_and_psutil_tell_of_the_same_listeners(monkeypatch: pytest.MonkeyPatch) -> None:
    def ours() -> set[tuple[str, int, int | None, str]]:
        found = process_worker.look({}).listeners
        return {(each.address, each.port, each.pid, each.process) for each in found if each.pid == os.getpid()}

    def refuse() -> None:
        raise FileNotFoundError("no tcp_diag")

    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("::1", 0), family=socket.AF_INET6) as other:
        by_kernel = ours()
        monkeypatch.setattr(listeners, "everyone", refuse)
        assert ours() == by_kernel
        name = psutil.Process().name()
        expected = {(sock.getsockname()[0], sock.getsockname()[1], os.getpid(), name) for sock in (one, other)}
        assert by_kernel >= expected


def test_interesting_processes_are_those_of_our_namespace(monkeypatch: pytest.MonkeyPatch) -> None:
    own = psutil.Process().name()
    monkeypatch.setattr(process_worker, "INTERESTING", frozenset((own,)))
    assert os.getpid() in {process.pid for process in process_worker.look({}).processes}


def test_proxy_variables_are_kept_without_their_passwords_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {"HTTPS_PROXY": "http://u:p@proxy:3128", "no_proxy": "10.0.0.0/8", "TOKEN": "secret", "PATH": "/bin"}
    monkeypatch.setattr(psutil.Process, "environ", lambda _: given)
    found = process_worker._described(psutil.Process(), "kube-apiserver", 0)
    assert found.environment == ("HTTPS_PROXY=http://***@proxy:3128", "no_proxy=10.0.0.0/8")
    assert process_worker._described(psutil.Process(), "kubelet", 0).environment == ()
