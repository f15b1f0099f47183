"""Each capability taken away in turn: the service says exactly what it can no longer see, and does the rest."""

import json
import shlex
import sys

import pytest

from tests.lab.staged import KUBEREACH, PRIVILEGES, run

NEEDED = {
    "NET_ADMIN": "the firewall cannot be read",
    "NET_RAW": "legacy iptables tables cannot be read",
    "SYS_ADMIN": "pods' network namespaces cannot be entered",
    "SYS_PTRACE": "other users' processes, sockets and namespaces stay hidden",
}
# Asks the service on its Unix socket, on the node, and ends it.
ASK = """
import http.client, json, os, socket, subprocess, sys, time
path = "/run/kubereach-test/k.sock"
service = subprocess.Popen([*sys.argv[1:], "serve", "--socket", path])
class Local(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX); self.sock.settimeout(30); self.sock.connect(path)
def get(url):
    connection = Local("localhost"); connection.request("GET", url)
    answer = connection.getresponse(); return [answer.status, answer.read().decode()]
for _ in range(600):
    try:
        get("/livez"); break
    except OSError:
        time.sleep(0.05)
print(json.dumps([get("/readyz?verbose"), get("/v1/report"), get("/livez")]))
service.terminate(); service.wait(10)
"""


def served_without(*lost):
    drop = ["setpriv", f"--bounding-set={','.join('-' + name.lower() for name in lost)}", "--inh-caps=-all"] if lost else []
    done = run(PRIVILEGES[0], "lab", "run", "centos-reject", "--", *drop, sys.executable, "-c", ASK, *KUBEREACH)
    assert done.stdout, done.stderr
    ready, report, live = json.loads(done.stdout)
    assert live == [200, "ok\n"], shlex.join(drop)
    assert report[0] == 200, report
    return ready, json.loads(report[1])


def probes(report):
    return {probe["vantage"]: probe["outcome"] for probe in report["probes"]}


@pytest.mark.parametrize("lost", NEEDED)
def test_one_that_is_missing_is_named_with_what_is_lost_and_no_other(lost):
    (status, ready), report = served_without(lost)
    failed = [line for line in ready.splitlines() if line.startswith("[-]capability")]
    assert len(failed) == 1
    assert failed[0].startswith(f"[-]capability {lost} failed: without it {NEEDED[lost]}")
    said = " ".join(report["problems"])
    if lost == "NET_ADMIN":
        assert status == 503
        assert report["state"] == "blocked" or report["state"] == "unknown"
        assert "Operation not permitted" in said
        assert "with the capability NET_ADMIN" in said
        assert probes(report)["pod"] == "host-prohibited"
    elif lost == "SYS_ADMIN":
        assert status == 200
        assert "pod" not in probes(report) or probes(report)["pod"] == "not-tried"
        assert "network namespaces could not be looked into" in said
        assert "runs here" not in said
        assert probes(report)["host"] == "open"
    else:
        assert status == 200
        assert report["state"] == "blocked"
        assert report["findings"][0]["code"] == "input-reject"
        assert probes(report) == {"pod": "host-prohibited", "host": "open", "peer": "open"}


def test_with_all_of_them_nothing_is_missing():
    (status, ready), report = served_without()
    assert status == 200
    assert "[-]capability" not in ready
    assert report["findings"][0]["code"] == "input-reject"
