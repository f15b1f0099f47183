"""Who may ask, on the real service: the Unix socket, the token, and what nobody gets to see."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.lab.staged import IS_ROOT
from tests.service.running import BEARER, CANARY, serving

SHARED = (Path("/"), Path("/tmp"))


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    directory = tmp_path_factory.mktemp("who")
    directory.chmod(0o755)
    with serving(directory) as running:
        yield running


def test_root_and_the_owner_need_no_token_over_the_unix_socket(service):
    with service.unix() as client:
        assert client.get("/v1/report").raise_for_status().json()["state"] == "blocked"
        assert client.get("/v1/capture").status_code == 200


def test_a_token_is_needed_over_tcp_and_opens(service):
    with service.client() as client:
        assert client.get("/v1/report", headers={"Authorization": "Bearer wrong-wrong-wrong"}).status_code == 401
        assert client.get("/v1/report").json()["node"] == "k8s-worker1"
        assert client.post("/v1/diagnoses").status_code == 201


ASK_AS_1000 = """
import os, socket, sys
os.setgid(1000); os.setuid(1000)
sock = socket.socket(socket.AF_UNIX)
try:
    sock.connect(sys.argv[1])
except PermissionError:
    print("EACCES"); raise SystemExit
sock.sendall(b"GET /v1/report HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n\\r\\n")
print(sock.recv(100).split(b"\\r\\n")[0].decode())
"""


@pytest.mark.skipif(not IS_ROOT, reason="only root can become another user")
def test_other_users_are_refused_by_the_file_and_by_their_uid(service):
    ask = [sys.executable, "-c", ASK_AS_1000, str(service.path)]
    assert subprocess.run(ask, capture_output=True, text=True, check=True).stdout.strip() == "EACCES"
    modes = {path: path.stat().st_mode for path in (service.path, *service.path.parents) if path not in SHARED}
    try:
        for path in modes:
            path.chmod(0o777)
        said = subprocess.run(ask, capture_output=True, text=True, check=True).stdout
    finally:
        for path, mode in modes.items():
            path.chmod(mode)
    assert said.startswith("HTTP/1.1 403")


def test_the_broker_listens_nowhere_that_anybody_could_reach(service):
    """Its only way in is the socket pair that it and the front were handed."""
    assert named_sockets(service.pid_of("agent.host.broker")) == set()
    kept = named_sockets(service.pid_of("agent.host.supervisor"))
    assert kept == {str(service.path)}  # for the front; it never accepts on it


def named_sockets(pid):
    inodes = {
        match[1] for fd in Path(f"/proc/{pid}/fd").iterdir() if (match := re.match(r"socket:\[(\d+)\]", str(fd.readlink())))
    }
    named = set()
    for line in Path("/proc/net/unix").read_text().splitlines()[1:]:
        words = line.split()
        if words[6] in inodes and len(words) > 7:
            named.add(words[7])
    return named


def test_the_front_holds_no_capability_and_is_nobody(service):
    status = dict(
        line.split(":\t", 1)
        for line in Path(f"/proc/{service.pid_of('agent.api.front')}/status").read_text().splitlines()
        if ":\t" in line
    )
    for name in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
        assert int(status[name], 16) == 0, name
    assert status["NoNewPrivs"] == "1"
    if IS_ROOT:
        assert int(status["CapBnd"], 16) == 0
        assert "0" not in status["Uid"].split() or not _installed_for_all()


def _installed_for_all():
    from agent.host.privilege import front_user

    return front_user()[1] == ""


def test_a_token_appears_in_no_log_error_metric_or_command_line(service):
    with service.client() as client:
        answers = [
            client.get("/v1/report", headers={"Authorization": f"Basic {CANARY}"}),
            client.get("/v1/report", params={"token": CANARY}),
            client.get("/v1/report", headers={"Authorization": f"bearer  {CANARY} {CANARY}"}),
            client.post("/v1/diagnoses", content=f'{{"token": "{CANARY}"', headers={"Content-Type": "application/json"}),
            client.get("/nowhere"),
            client.get("/metrics"),
            client.get("/v1/capture"),
        ]
    with socket.create_connection(("127.0.0.1", service.port)) as raw:  # no TLS: a token that was sent in the clear
        raw.sendall(f"GET / HTTP/1.1\r\nAuthorization: Bearer {CANARY}\r\n\r\n".encode())
        raw.recv(1000)
    assert [answer.status_code for answer in answers[:3]] == [401, 422, 401]
    for answer in answers:
        assert CANARY not in answer.text
        assert CANARY not in str(answer.headers)
    assert CANARY not in service.log.read_text()
    for module in ("agent.api.front", "agent.host.broker", "agent.host.supervisor"):
        process = Path(f"/proc/{service.pid_of(module)}")
        assert CANARY.encode() not in (process / "cmdline").read_bytes() + (process / "environ").read_bytes()


def test_every_line_of_the_log_is_one_json_object(service):
    with service.client() as client:
        client.get("/v1/report")
        client.get("/%0a%0d%1b[31m", headers={"User-Agent": "x"})
    lines = [line for line in service.log.read_text().splitlines() if line.startswith("{")]
    assert any(json.loads(line).get("route") == "/v1/report" for line in lines)
    assert len(lines) == len(service.log.read_text().splitlines())


def test_life_is_told_to_anybody_and_by_any_name(service):
    with httpx.Client(base_url=f"https://127.0.0.1:{service.port}", verify=False) as client:
        assert client.get("/livez", headers={"Host": "10.9.8.7"}).text == "ok\n"
        assert client.get("/readyz").text == "ok\n"
        assert client.get("/readyz?verbose").status_code == 401


def test_the_exposition_is_clean_for_promtool(service):
    with service.client() as client:
        client.get("/v1/report")
        text = client.get("/metrics").text
    promtool = shutil.which("promtool", path=f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}")
    if promtool is None:
        pytest.skip("promtool is not installed: make setup, as root on Debian or Ubuntu, brings it")
    done = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    assert 'kubereach_http_requests_total{method="GET",route="/v1/report",status="200"}' in text
    assert BEARER["Authorization"] not in text
