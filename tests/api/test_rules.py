"""The firewall and the walk, live."""

import pytest

from agent.service.host import HostError

SEED = {"in": "cni0", "src": "10.244.4.138", "dst": "172.31.16.124", "proto": "tcp", "dport": "10250"}


def test_the_packet_of_the_incident(served):
    body = served.client.get("/v1/explain", params=SEED).json()
    assert (body["verdict"], body["reject_with"], body["client_sees"]) == ("REJECT", "icmp-host-prohibited", "EHOSTUNREACH")
    assert (body["decided_by"]["backend"], body["decided_by"]["chain"], body["decided_by"]["rule_number"]) == (
        "legacy",
        "INPUT",
        3,
    )


def test_another_packet_fares_otherwise(served):
    assert served.client.get("/v1/explain", params={**SEED, "src": "172.31.22.159"}).json()["verdict"] == "ACCEPT"
    assert served.client.get("/v1/explain", params={**SEED, "ctstate": "established"}).json()["verdict"] == "ACCEPT"


def test_the_walk_as_text(served):
    answer = served.client.get("/v1/explain", params={**SEED, "o": "text"})
    assert answer.text.startswith("REJECT with icmp-host-prohibited")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"src": "pod"}, "src 'pod' is no IP address"),
        ({"dport": "70000"}, "out of range"),
        ({"dprot": "tcp"}, "no query parameter dprot"),
        ({"src": ["10.0.0.1", "10.0.0.2"]}, "given 2 times"),
        ({"o": "xml"}, "o: Input should be 'text' or 'json'"),
        ({"src": None}, "src: Field required"),
    ],
    ids=["address", "port", "misspelt", "twice", "form", "missing"],
)
def test_a_question_that_is_not_understood_is_refused(served, change, said):
    words = {name: value for name, value in {**SEED, **change}.items() if value is not None}
    answer = served.client.get("/v1/explain", params=words)
    assert answer.status_code == 422
    assert said in answer.json()["detail"]
    assert "firewall" not in served.host.calls


def test_local_may_repeat(served):
    assert served.client.get("/v1/explain", params={**SEED, "local": ["10.0.0.1", "10.0.0.2"]}).status_code == 200


def test_the_input_path(served):
    body = served.client.get("/v1/firewall").json()
    assert [chain["chain"] for chain in body["chains"]] == ["INPUT"]
    assert body["chains"][0]["rules"][2]["text"].endswith("-j REJECT --reject-with icmp-host-prohibited")


def test_the_input_path_as_text(served):
    assert "icmp-host-prohibited" in served.client.get("/v1/firewall?o=text").text
    assert "icmp-host-prohibited" not in served.client.get("/v1/firewall?o=text&version=6").text


def test_a_host_that_refuses_is_a_problem(served):
    served.host.failures = {"firewall": HostError("the firewall may not be read.")}
    answer = served.client.get("/v1/firewall")
    assert (answer.status_code, answer.headers["content-type"]) == (503, "application/problem+json")
    assert answer.json()["detail"].startswith("the firewall may not be read.")


def test_a_whole_network_is_answered_in_parts(served):
    body = served.client.get("/v1/explain", params={**SEED, "src": "10.244.4.0/24"}).json()
    assert (body["verdict"], body["packet"]["src"]) == ("REJECT", "10.244.4.0/24")
    assert [(part["src"], part["addresses"]) for part in body["partition"]] == [("10.244.4.0/24", 256)]
    text = served.client.get("/v1/explain", params={**SEED, "src": "172.31.0.0/16", "o": "text"}).text
    assert text.startswith("UNDECIDED: it depends on the source")


def test_a_network_that_is_none_is_refused(served):
    answer = served.client.get("/v1/explain", params={**SEED, "src": "10.244.4.7/24"})
    assert answer.status_code == 422
    assert "is no network" in answer.json()["detail"]


def test_the_rules_carry_their_remarks_and_owners(served):
    chain = served.client.get("/v1/firewall").json()["chains"][0]
    assert chain["owner"]["name"] == "hand-made or distribution default"
    assert {"remark", "shadowed_by", "owner"} <= set(chain["rules"][0])
