"""Alive, ready, measured."""

from agent.model.capture import Firewall, Problem
from agent.service.host import BrokerGone, HostError


def test_life_touches_nothing(served):
    answer = served.client.get("/livez")
    assert (answer.status_code, answer.text) == (200, "ok\n")
    assert served.host.calls == []


def test_ready_in_one_word(served):
    assert served.client.get("/readyz").text == "ok\n"


def test_ready_in_detail(served):
    lines = served.client.get("/readyz?verbose").text.splitlines()
    assert lines[:2] == ["[+]CAP_NET_ADMIN ok", "[-]nft failed: not found"]
    assert lines[2].startswith("[+]firewall ok: read ")
    assert lines[-1] == "ok"


def test_a_kubelet_that_asks_often_costs_one_look(served):
    for _ in range(5):
        served.client.get("/readyz")
    assert served.host.calls.count("firewall") == 1


def test_not_ready_says_why_unasked(served):
    lost = Problem(what="nft", why="not permitted", remedy="Run as root.")
    object.__setattr__(served.host.capture, "before", Firewall(problems=(lost,)))
    answer = served.client.get("/readyz")
    assert answer.status_code == 503
    assert "[-]firewall failed: nothing could be read: nft: not permitted. Run as root" in answer.text
    assert answer.text.endswith("not ready\n")


def test_a_broker_that_refuses_is_a_problem(served):
    served.host.failures = {"preflight": HostError("refused.")}
    assert served.client.get("/readyz").headers["content-type"] == "application/problem+json"


def test_metrics_start_no_diagnosis_and_show_the_last(served):
    before = served.client.get("/metrics")
    assert before.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert "kubereach_state{" not in before.text
    assert served.host.calls == []
    served.client.get("/")
    assert 'kubereach_state{node="k8s-worker1",state="blocked"} 1.0' in served.client.get("/metrics").text


def test_without_a_broker_it_is_not_ready_at_once_and_with_another_it_is_asked_anew(served):
    assert served.client.get("/readyz").text == "ok\n"
    served.host.alive = False
    answer = served.client.get("/readyz")
    assert answer.status_code == 503
    assert answer.text.startswith("[-]broker failed: degraded, the broker is gone (it ended): ")
    assert "kubereach_broker_up 0.0" in served.client.get("/metrics").text
    assert served.client.get("/livez").status_code == 200
    served.host.alive, served.host.brokers = True, 2
    assert served.client.get("/readyz").text == "ok\n"
    assert served.host.calls.count("preflight") == 2
    assert "kubereach_broker_restarts_total 1.0" in served.client.get("/metrics").text


def test_a_broker_that_dies_while_it_is_asked_is_not_remembered(served):
    served.host.failures = {"preflight": BrokerGone("it hung up")}
    assert "the broker is gone (it hung up)" in served.client.get("/readyz").text
    served.host.failures = {}
    assert served.client.get("/readyz").text == "ok\n"


def test_what_needs_a_broker_says_when_to_ask_again_and_the_history_stays(served):
    first = served.client.post("/v1/diagnoses").json()["id"]
    served.host.failures = {name: BrokerGone("the broker did not answer: it hung up") for name in ("node", "firewall")}
    for method, path, title in (
        ("POST", "/v1/diagnoses", "The diagnosis failed"),
        ("GET", "/v1/firewall", "Degraded: the broker is gone"),
    ):
        answer = served.client.request(method, path)
        assert (answer.status_code, answer.headers["Retry-After"], answer.json()["title"]) == (503, "1", title)
        assert "It is started again by itself" in answer.json()["detail"]
    assert served.client.get(f"/v1/diagnoses/{first}").status_code == 200
    served.host.failures = {}
    assert served.client.post("/v1/diagnoses").status_code == 201
