"""Alive, ready, measured."""

from agent.model.capture import Firewall, Problem
from agent.service.host import HostError


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
