"""N6 of the threats: what listens on the kubelet's port takes its time. A look ends all the same, and says what it met."""

import contextlib
import subprocess
import sys

import pytest

from tests.service.running import serving

# Accepts and says nothing, or the beginning of a TLS record and then a byte of it now and then, for as long as one listens.
SERVER = """
import socket, sys, threading, time
from agent.model.settings import KUBELET_PORT
def drip(connection):
    with connection:
        try:
            connection.sendall(b"\\x16\\x03\\x03\\x40\\x00")
            while True:
                connection.sendall(b"\\x02"); time.sleep(0.05)
        except OSError:
            return
held = []
with socket.create_server(("0.0.0.0", KUBELET_PORT)) as server:
    print("listening", flush=True)
    while True:
        connection = server.accept()[0]
        if sys.argv[1] == "drips":
            threading.Thread(target=drip, args=(connection,), daemon=True).start()
        else:
            held.append(connection)
"""


@contextlib.contextmanager
def listening(service, kind):
    argv = service.on_node(sys.executable, "-P", "-c", SERVER, kind)
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout.readline() == "listening\n"
            yield server
        finally:
            server.kill()


@pytest.mark.parametrize("kind", ["silent", "drips"])
def test_a_kubelet_that_never_ends_its_handshake_is_left_at_the_deadline(tmp_path, kind):
    with serving(tmp_path, "kubelet-down") as service, listening(service, kind) as server, service.client() as client:
        report = client.post("/v1/diagnoses").json()["report"]
        assert server.poll() is None  # it goes on; we do not
        met = {probe["vantage"]: (probe["outcome"], probe["tls"]) for probe in report["probes"] if probe["vantage"] != "peer"}
        assert set(met) == {"pod", "host"}
        for outcome, tls in met.values():
            assert outcome == "open"
            assert "no answer in time" in tls
        assert report["state"] != "reachable"
        assert client.get("/livez").text == "ok\n"


def test_a_packet_that_nobody_answers_is_waited_for_no_longer_than_asked(tmp_path):
    with serving(tmp_path, "drop-policy") as service, service.client() as client:
        report = client.post("/v1/diagnoses").json()["report"]
        pods = [probe for probe in report["probes"] if probe["vantage"] == "pod"]
        assert pods
        for probe in pods:
            assert probe["outcome"] == "timeout"
            assert probe["seconds"] >= 1.0  # the deadline of a connect: the next SYN after the first would come with it
        assert report["findings"][0]["code"] == "input-policy-drop"
