"""`kubereach cluster --from agents` against a stand-in API server: nodes, pods, and the exec itself over a web socket."""

import json
import struct
from base64 import b64encode
from dataclasses import replace
from hashlib import sha1
from urllib.parse import parse_qs, urlsplit

import pytest
from typer.testing import CliRunner

from agent.cli.app import app
from agent.cluster.agents import Agents
from agent.cluster.connection import ClusterError, configuration, connect
from agent.model.codec import to_plain
from agent.model.exitcode import ExitCode
from tests.process.stand_in import Handler, standing_in
from tests.unit.render.test_fleet import BLOCKED, FINE

W1, W2 = replace(BLOCKED, node="w1"), replace(FINE, node="w2")
STDOUT, STDERR, END = 1, 2, 3
MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 section 1.3


def pod(node, *, name="", labels=True, owner="DaemonSet", phase="Running", deleted=False):
    """A pod of the namespace kubereach, as the API lists it."""
    metadata = {"name": name or f"kubereach-{node}", "namespace": "kubereach"}
    metadata["ownerReferences"] = [{"apiVersion": "apps/v1", "kind": owner, "name": "o", "uid": "u", "controller": True}]
    if deleted:
        metadata["deletionTimestamp"] = "2026-01-31T12:00:00Z"
    spec = {"nodeName": node, "containers": [{"name": "kubereach", "image": "i"}]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec, "status": {"phase": phase}}


class StandIn(Handler):
    """Lists what its server has, and plays the container's answers: (exit status, stdout, stderr) by pod."""

    def do_GET(self):  # noqa: N802 - the name that http.server calls
        url = urlsplit(self.path)
        query = parse_qs(url.query)
        self.server.asked.append((url.path, query))
        if url.path.endswith("/exec"):
            self.execute(url.path.split("/")[-2])
        elif url.path == "/api/v1/nodes":
            names = [{"metadata": {"name": name}} for name in self.server.nodes]
            self.answer(200, {"kind": "NodeList", "apiVersion": "v1", "metadata": {}, "items": names})
        elif url.path == "/api/v1/namespaces/kubereach/pods":
            wanted = query.get("fieldSelector", ["spec.nodeName="])[0].partition("spec.nodeName=")[2]
            found = [each for each in self.server.pods if wanted in ("", each["spec"]["nodeName"])]
            self.answer(200, {"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": found})
        else:
            self.answer(403, {"kind": "Status", "apiVersion": "v1", "code": 403, "message": f"not {url.path}"})

    def execute(self, name):
        if name not in self.server.containers:
            self.answer(500, {"kind": "Status", "apiVersion": "v1", "code": 500, "message": "error dialing backend"})
            return
        self.send_response(101)
        accept = b64encode(sha1(self.headers["Sec-WebSocket-Key"].encode() + MAGIC).digest())
        for header, value in (("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Accept", accept.decode())):
            self.send_header(header, value)
        self.send_header("Sec-WebSocket-Protocol", "v4.channel.k8s.io")
        self.end_headers()
        self.close_connection = True
        status, stdout, stderr = self.server.containers[name]
        for at in range(0, len(stdout), 1000):
            self.frame(STDOUT, stdout[at : at + 1000])
        self.frame(STDERR, stderr)
        if status is None:  # it hangs
            self.server.release.wait(20)
            return
        end = {"metadata": {}, "status": "Success"}
        if status:
            causes = [{"reason": "ExitCode", "message": str(status)}]
            end = {"metadata": {}, "status": "Failure", "reason": "NonZeroExitCode", "details": {"causes": causes}}
        self.frame(END, json.dumps(end).encode())

    def frame(self, channel, data):
        """A whole binary frame, unmasked as a server's is (RFC 6455 section 5.2)."""
        payload = bytes([channel]) + data
        short = len(payload) < 126
        self.wfile.write(b"\x82" + (bytes([len(payload)]) if short else b"\x7e" + struct.pack("!H", len(payload))) + payload)
        self.wfile.flush()


def said(reach):
    return 0, json.dumps(to_plain(reach)).encode(), b""


@pytest.fixture
def api(tmp_path, monkeypatch):
    from threading import Event

    switches = {"asked": [], "nodes": ["w1", "w2"], "pods": [pod("w1"), pod("w2")], "release": Event()}
    containers = {"kubereach-w1": said(W1), "kubereach-w2": said(W2)}
    with standing_in(StandIn, tmp_path, monkeypatch, **switches, containers=containers) as server:
        yield server
        server.release.set()


def ask(*argv):
    return CliRunner().invoke(app, ["cluster", *argv, "--from", "agents"])


def execs(api):
    return [(path, query) for path, query in api.asked if path.endswith("/exec")]


def test_the_agents_answers_are_one_report(api):
    done = ask("report")
    assert done.exit_code == ExitCode.PROBLEM, done.output
    assert done.stdout.startswith("1 of 2 nodes is stopped (w1), by rule 6 of filter INPUT (iptables-nft)")
    assert "only w1 differs in its rules" in done.stdout
    commands = [query["command"] for _, query in execs(api)]
    assert [each[-1] for each in commands] == ["http://localhost/v1/reach"] * 2
    assert all("POST" not in each and "--unix-socket" in each for each in commands)
    assert {query["container"][0] for _, query in execs(api)} == {"kubereach"}
    assert not [path for path, _ in api.asked if "kubereach.dev" in path]  # no object was asked for


def test_one_that_does_not_answer_is_a_line_and_the_others_are_told(api):
    api.nodes.append("w3")
    del api.containers["kubereach-w2"]
    done = ask("report")
    assert done.exit_code == ExitCode.PROBLEM
    assert "1 of 1 nodes is stopped (w1)" in done.stdout
    assert "2 more gave no answer." in done.stdout
    lines = done.stdout.splitlines()
    at = next(number for number, line in enumerate(lines) if line.split() == ["NODE", "NO", "ANSWER"])
    assert lines[at + 1].startswith("w2    exec in pod kubereach/kubereach-w2 failed: ")
    assert lines[at + 2] == "w3    no agent runs there."


@pytest.mark.parametrize("command", ["report", "run", "matrix"])
def test_where_one_is_silent_and_no_other_is_in_trouble_the_look_was_not_whole(api, command):
    del api.containers["kubereach-w1"]
    assert ask(command).exit_code == ExitCode.BLIND


def test_a_run_asks_for_a_look_first_and_names_may_be_given(api):
    done = ask("run", "w2")
    assert done.exit_code == ExitCode.FINE, done.output
    assert "On all 1 nodes pods reach their kubelet" in done.stdout
    ((path, query),) = execs(api)
    assert path.endswith("/kubereach-w2/exec")
    command = query["command"]
    assert command.index("http://localhost/v1/diagnoses") < command.index("--next") < command.index("http://localhost/v1/reach")
    assert "[1/1] w2: reachable" in done.stderr


def test_a_matrix_says_who_is_missing(api):
    api.pods.pop()
    done = ask("matrix")
    assert done.exit_code == ExitCode.PROBLEM
    assert done.stdout.splitlines() == [
        "FROM \\ TO  w1",
        "w1         host-prohibited",
        "",
        "NODE  NO ANSWER",
        "w2    no agent runs there.",
    ]


def test_one_node_is_explained_by_its_agent(api):
    done = ask("explain", "w1")
    assert (done.exit_code, done.stdout.splitlines()[0].split(".")[0]) == (ExitCode.PROBLEM, "w1: BLOCKED")
    assert [query["fieldSelector"] for path, query in api.asked if path.endswith("/pods")] == [["spec.nodeName=w1"]]
    gone = ask("explain", "w9")
    assert (gone.exit_code, gone.stderr) == (ExitCode.USAGE, "kubereach: w9: no agent runs there.\n")


@pytest.mark.parametrize("command", [("report",), ("report", "--from", "agents")])
def test_kubectls_own_file_is_read_where_nothing_else_is_said(api, tmp_path, monkeypatch, command):
    home = tmp_path / "home"
    (home / ".kube").mkdir(parents=True)
    (tmp_path / "kubeconfig").rename(home / ".kube" / "config")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("KUBECONFIG")
    CliRunner().invoke(app, ["cluster", *command])
    assert api.asked
    assert configuration() is None  # an agent leaves it alone


def test_where_nobody_may_say_whom_to_ask_there_is_one_sentence(api):
    done = ask("report", "--namespace", "elsewhere")
    assert (done.exit_code, done.stdout) == (ExitCode.BLIND, "")
    assert "listing pod failed" in done.stderr


def agents():
    return Agents(connect(), "kubereach")


@pytest.mark.parametrize(
    "other",
    [
        pod("w1", name="impostor", owner="ReplicaSet"),
        pod("w1", name="old", deleted=True),
        pod("", name="unscheduled"),
        pod("w1", name="evicted", phase="Failed"),
    ],
    ids=lambda each: each["metadata"]["name"],
)
def test_only_the_daemonsets_living_pod_speaks_for_a_node(api, other):
    for pods in ([other, pod("w1")], [pod("w1"), other]):
        api.pods = pods
        assert {node: each.name for node, each in agents().pods().items()} == {"w1": "kubereach-w1"}
    labels = [query["labelSelector"][0] for path, query in api.asked if path.endswith("/pods")]
    assert {frozenset(each.split(",")) for each in labels} == {
        frozenset({"app.kubernetes.io/name=kubereach", "app.kubernetes.io/component=agent"})
    }


PROBLEM = {"type": "about:blank", "title": "t", "status": 503, "detail": "The broker did not answer."}


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ((22, json.dumps(PROBLEM).encode(), b"curl: (22) error: 503\n"), "gave no answer: The broker did not answer."),
        ((22, b"", b"curl: (22) The requested URL returned error: 404\n"), "curl: (22) The requested URL returned error: 404"),
        ((7, b"", b"\ncurl: (7) Failed to connect\n"), "curl: (7) Failed to connect"),
        ((28, b"", b""), "curl ended with 28."),
        ((0, b"no JSON", b""), "answered what is not understood"),
        ((0, b'{"node": 7}', b""), "answered what is not understood"),
        ((0, said(W2)[1], b""), "speaks of another node, w2."),
        ((0, b"x" * 1_100_000, b""), "more than 1048576 bytes were printed"),
    ],
    ids=["problem", "status", "refused", "silent", "text", "shape", "another", "endless"],
)
def test_what_is_no_answer_is_a_sentence(api, told, words):
    api.containers["kubereach-w1"] = told
    with pytest.raises(ClusterError) as raised:
        agents().ask(agents().pods()["w1"], 10.0)
    assert words in str(raised.value)
    assert "kubereach/kubereach-w1" in str(raised.value)


def test_a_pod_that_does_not_run_is_not_asked(api):
    api.pods = [pod("w1", phase="Pending")]
    with pytest.raises(ClusterError, match=r"is not running \(Pending\)"):
        agents().ask(agents().pods()["w1"], 10.0)
    assert not execs(api)


def test_one_that_hangs_is_left_when_its_time_is_up(api):
    api.containers["kubereach-w1"] = (None, b"", b"")
    with pytest.raises(ClusterError, match=r"(?i)timeout"):
        agents().ask(agents().pods()["w1"], 0.5)
