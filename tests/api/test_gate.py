"""Who is answered: the node's own names, and no web page's script."""

import pytest

from agent.api.gate import NodeNames
from agent.model.settings import Settings
from agent.service.clock import SystemClock
from agent.service.fake import FakeHost
from agent.service.host import HostError


@pytest.mark.parametrize(
    "name",
    [
        "localhost",
        "LOCALHOST:10270",
        "127.0.0.1:1",
        "[::1]:10270",
        "k8s-worker1",
        "k8s-worker1.:10270",
        "172.31.16.124:80",
        "10.244.4.1",
    ],
)
def test_the_nodes_names_are_known(capture, name):
    assert NodeNames(FakeHost(capture), Settings(), SystemClock()).known(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "evil.example",
        "127.0.0.1.evil.example",
        "localhost:x",
        "localhost@evil",
        "::1",
        "[::1",
        "10.244.4.138",
        "localhost:1:2",
        " localhost",
    ],
)
def test_others_are_not(capture, name):
    assert not NodeNames(FakeHost(capture), Settings(), SystemClock()).known(name)


def test_settings_names_need_no_look_and_a_strangers_costs_one(capture):
    host = FakeHost(capture)
    names = NodeNames(host, Settings(node_name="Given", node_ips=("192.0.2.1",)), SystemClock())
    assert names.known("given:10270")
    assert names.known("192.0.2.1")
    assert host.calls == []
    for _ in range(5):
        assert not names.known("evil.example")
    assert host.calls == ["node"]


def test_a_node_that_cannot_be_read_has_its_given_names_alone(capture):
    names = NodeNames(FakeHost(capture, failures={"node": HostError("no")}), Settings(), SystemClock())
    assert names.known("localhost")
    assert not names.known("k8s-worker1")


def test_a_rebound_name_is_misdirected(served):
    answer = served.client.get("/v1/report", headers={"host": "evil.example:10270"})
    assert answer.status_code == 421
    assert answer.headers["content-type"] == "application/problem+json"
    assert not [call for call in served.host.calls if call.startswith("probe")]


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:8080"])
def test_a_script_is_refused(served, origin):
    answer = served.client.post("/v1/diagnoses", headers={"origin": origin})
    assert answer.status_code == 403
    assert served.host.calls == []


def test_a_kubelet_may_ask_for_life_by_any_name(served):
    assert served.client.get("/livez", headers={"host": "10.9.8.7:10270"}).status_code == 200
    assert served.client.get("/readyz", headers={"host": "10.9.8.7:10270"}).status_code == 421


@pytest.mark.parametrize("path", ["/", "/v1/report", "/livez", "/nowhere", "/metrics", "/openapi.json"])
def test_nothing_is_stored(served, path):
    answer = served.client.get(path)
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"
