"""`serve`: a loopback socket, and a supervisor in this process's place."""

import itertools
import json
import os
import socket
import sys
from hashlib import sha256

import pytest

import agent.cli.serve as serve_module
from agent.api.own_certificate import now, self_signed
from agent.api.tls import fingerprint
from agent.cli.doors import listen_unix, seal
from agent.cli.failures import UnreadableError
from agent.model.access import Access, Secrets
from agent.model.codec import from_plain
from agent.model.settings import OnStop, Settings

CANARY = "canary-7f3b2d9a1c5e4f60"


@pytest.fixture
def executed(monkeypatch):
    """What the process would have become."""
    calls = []

    def execute(path, argv):
        fd = int(value(front_of(argv), "--listen-fd"))
        with socket.socket(fileno=os.dup(fd)) as listener:
            calls.append((path, argv, os.get_inheritable(fd), listener.getsockname()))

    monkeypatch.setattr(os, "execv", execute)
    return calls


LOOPBACK = ("serve", "--insecure-loopback", "--socket", "", "--port", "0")


@pytest.fixture(autouse=True)
def outside_any_cluster(monkeypatch):
    for name in ("KUBERNETES_SERVICE_HOST", "KUBECONFIG", "KUBEREACH_TOKEN_FILE", "KUBEREACH_SOCKET", "KUBEREACH_HOST"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def token(tmp_path):
    file = tmp_path / "token"
    file.write_text(CANARY + "\n")
    return file


def front_of(argv):
    return json.loads(argv[argv.index("--front") + 1])


def value(argv, flag):
    return argv[argv.index(flag) + 1]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_it_becomes_the_supervisor_with_a_listening_socket(run, executed, host):
    result = run(*LOOPBACK, "--host", host, "--node-name", "w1")
    assert result.exit_code == 0
    ((path, argv, inheritable, address),) = executed
    assert (path, argv[:4]) == (sys.executable, [sys.executable, "-P", "-m", "agent.host.supervisor"])
    assert inheritable
    assert address[0] in ("127.0.0.1", "::1")
    front = front_of(argv)
    assert from_plain(Access, json.loads(value(front, "--access"))) == Access(owner=os.geteuid(), insecure_loopback=True)
    assert front[:4] == [sys.executable, "-P", "-m", "agent.api.front"]
    broker = json.loads(value(argv, "--broker"))
    assert broker[:4] == [sys.executable, "-P", "-m", "agent.host.broker"]
    kept = {word for flag, word in itertools.pairwise(argv) if flag == "--keep-fd"}
    assert kept == {value(front, "--listen-fd"), value(front, "--secrets-fd")}
    for command in (broker, front):
        assert from_plain(Settings, json.loads(command[command.index("--settings") + 1])) == Settings(node_name="w1")
    assert f":{address[1]}: everybody on this machine may do everything" in result.stderr


def test_a_port_that_is_taken_is_a_sentence(run, executed):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        result = run(*LOOPBACK, "--port", str(taken.getsockname()[1]))
    assert result.exit_code == 5
    assert "Address already in use. Choose another with --port." in result.stderr
    assert executed == []


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])
def test_others_than_this_machine_are_not_served(run, executed, host):
    for more, said in (((), "could be authenticated"), (("--insecure-loopback",), "never served without authentication")):
        result = run("serve", "--host", host, "--port", "0", *more)
        assert result.exit_code == 2
        assert said in " ".join(result.stderr.split())
    assert executed == []


def test_loopback_is_no_exception_unless_asked_for(run, executed):
    result = run("serve", "--host", "127.0.0.1", "--port", "0")
    assert result.exit_code == 2
    assert "--insecure-loopback to let everybody on this machine in" in " ".join(result.stderr.split())
    assert executed == []


def test_without_anybody_to_ask_the_unix_socket_alone_is_served(run, executed, tmp_path):
    path = tmp_path / "own" / "k.sock"
    result = run("serve", "--socket", path)
    assert result.exit_code == 0, result.stderr
    ((_, _, _, address),) = executed
    assert address == str(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert "on the Unix socket only" in result.stderr


def test_a_token_is_served_with_tls_on_any_address_and_goes_nowhere_itself(run, executed, token, monkeypatch):
    sealed = []
    monkeypatch.setattr(serve_module, "seal", lambda secrets: sealed.append(secrets) or seal(secrets))
    result = run("serve", "--host", "0.0.0.0", "--port", "0", "--socket", "", "--token-file", token)
    assert result.exit_code == 0, result.stderr
    ((_, argv, _, _),) = executed
    (secrets,) = sealed
    assert secrets.token_sha256 == sha256(CANARY.encode()).hexdigest()
    assert f"fingerprint {fingerprint(secrets.certificate)}" in result.stderr
    for said in (*argv, *front_of(argv), result.stderr):
        assert CANARY not in said
        assert secrets.token_sha256 not in said
        assert "PRIVATE KEY" not in said


def test_what_is_sealed_can_be_read_and_not_changed():
    descriptor = seal(Secrets(key="k"))
    try:
        assert from_plain(Secrets, json.loads(os.pread(descriptor, 4096, 0))) == Secrets(key="k")
        with pytest.raises(PermissionError):
            os.write(descriptor, b"x")
    finally:
        os.close(descriptor)


@pytest.mark.parametrize("text", ["", "short", "x" * 9000, "two words in a line", "ünicode-ünicode-ünicode"])
def test_a_file_without_a_token_is_a_sentence(run, executed, tmp_path, text):
    file = tmp_path / "token"
    file.write_text(text)
    result = run("serve", "--port", "0", "--socket", "", "--token-file", file)
    assert result.exit_code == 5
    assert f"{file} " in result.stderr
    assert executed == []


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--insecure-loopback", "--token-file", "/t"), "leave it or"),
        (("--insecure-loopback", "--tls-cert", "/c", "--tls-key", "/k"), "leave it or"),
        (("--insecure-loopback", "--tls-cert", "/c"), "leave it or"),
        (("--token-file", "/t", "--tls-key", "/k"), "belong together"),
        (("--socket", ""), "nothing is left to serve on"),
        (("--interval", "often"), "no interval"),
        (("--interval", "5s"), "no interval"),
    ],
)
def test_flags_that_contradict_each_other_are_refused(run, executed, flags, said):
    result = run("serve", "--port", "0", *flags)
    assert result.exit_code == 2
    assert said in " ".join(result.stderr.split())
    assert executed == []


def test_an_interval_in_words(run, executed):
    assert run(*LOOPBACK, "--interval", "5m").exit_code == 0
    ((_, argv, _, _),) = executed
    assert json.loads(value(front_of(argv), "--access"))["interval"] == 300


@pytest.mark.parametrize("wish", list(OnStop))
def test_what_becomes_of_fixes_at_the_end_is_the_brokers_to_know(run, executed, wish, monkeypatch):
    monkeypatch.setenv("KUBEREACH_ON_STOP", wish)
    assert run(*LOOPBACK).exit_code == 0
    assert run(*LOOPBACK, "--on-stop", "revert").exit_code == 0
    brokers = [json.loads(value(argv, "--broker")) for _, argv, _, _ in executed]
    settings = [from_plain(Settings, json.loads(value(broker, "--settings"))) for broker in brokers]
    assert [each.on_stop for each in settings] == [wish, OnStop.REVERT]


def test_certificate_and_key_of_others_are_refused(run, executed, token, tmp_path):
    (one, _), (_, other) = self_signed(["a"], now()), self_signed(["b"], now())
    (tmp_path / "c").write_text(one)
    (tmp_path / "k").write_text(other)
    result = run(
        "serve", "--port", "0", "--socket", "", "--token-file", token, "--tls-cert", tmp_path / "c", "--tls-key", tmp_path / "k"
    )
    assert result.exit_code == 5
    assert "no certificate and its key" in result.stderr


def test_a_stale_socket_is_replaced_and_a_living_one_is_not(tmp_path):
    path = tmp_path / "k.sock"
    listen_unix(path).close()
    with listen_unix(path), pytest.raises(UnreadableError, match="another kubereach"):
        listen_unix(path)


def test_what_others_could_replace_is_not_used(tmp_path):
    open_to_all = tmp_path / "open"
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    (tmp_path / "link").symlink_to(tmp_path)
    (tmp_path / "file").write_text("precious")
    for path in (open_to_all / "s", tmp_path / "link" / "s", tmp_path / "file"):
        with pytest.raises(UnreadableError):
            listen_unix(path)
    assert (tmp_path / "file").read_text() == "precious"
