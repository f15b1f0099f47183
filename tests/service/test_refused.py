"""H5, H6, H8, H11 to H13 and H16 of the threats on the running service: what is refused, what strangers wrote into rules."""

import json
import os
import subprocess
from pathlib import Path

import httpx
import pytest

from tests.service.running import CANARY, serving

JSON = {"Content-Type": "application/json"}
FIX = "/v1/fixes/0123456789ab"


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("refused"), "centos-reject", allow_fix=True) as running:
        yield running


@pytest.mark.parametrize(
    ("method", "path", "headers", "body", "status"),
    [
        ("GET", "/v1/report", {"Host": "evil.example"}, None, 421),
        ("GET", "/v1/report", {"Host": "127.0.0.1.evil.example"}, None, 421),
        ("GET", "/v1/report", {"Origin": "https://evil.example"}, None, 403),
        ("POST", "/v1/diagnoses", {"Origin": "null"}, None, 403),
        ("POST", "/v1/plans", {"Content-Type": "text/plain"}, "{}", 415),
        ("POST", "/v1/fixes", {"Content-Type": "application/x-www-form-urlencoded"}, "plan=0123456789ab", 415),
        ("GET", "/v1/plans", {"X-HTTP-Method-Override": "POST"}, None, 405),
        ("PUT", "/v1/fixes", JSON, "{}", 405),
        ("GET", f"{FIX}/confirm", {}, None, 405),
        ("POST", FIX, {"X-HTTP-Method": "DELETE"}, None, 405),
        ("POST", "/v1/plans?method=DELETE", {}, None, 422),
        *(
            ("POST", "/v1/fixes", JSON, body, 422)
            for body in (
                '{"plan": "../../../../x"}',
                '{"plan": "0123456789ab", "source": "0.0.0.0/0"}',
                '{"plan": "0123456789ab", "port": 22}',
                '{"plan": "0123456789ab", "lease": "forever"}',
            )
        ),
        *(
            ("POST", f"{FIX}/confirm", JSON, f'{{"lease": {lease}}}', 422)
            for lease in ("0", "-1", "1000000000000", "86401", "1.5", '"60"', "true", "[60]", "1e2")
        ),
        ("POST", f"{FIX}/confirm", JSON, '{"lease": NaN}', 400),
        ("POST", f"{FIX}/confirm", JSON, '{"lease": 60, "lease": 86400}', 400),
    ],
)
def test_what_is_refused_with_which_word(service, method, path, headers, body, status):
    with service.client() as client:
        answer = client.request(method, path, headers=headers, content=body)
        assert answer.status_code == status, answer.text
        assert answer.json()["detail"]
        assert client.get("/v1/fixes").json()["fixes"] == []


def test_the_front_can_be_read_by_root_alone(service):
    process = Path(f"/proc/{service.pid_of('agent.api.front')}")
    uid = int((process / "status").read_text().split("Uid:")[1].split()[0])
    if uid in {0, os.geteuid()}:
        pytest.skip("here the front has no user of its own: kubereach is not installed where others can read it")
    assert (process / "environ").stat().st_uid == 0  # proc(5): so for a process that may not be dumped


# As a pod with a mesh's rights, or a careless script, could have it written: iptables-save prints these bytes as they are.
COMMENT = 'x" -j ACCEPT\n-I INPUT 1 -j ACCEPT\n\x1b[2J\x1b[31m$(touch /tmp/x) \u202e`id`'


def test_a_comment_of_a_rule_is_neither_a_rule_nor_an_order_to_a_terminal(service):
    add = service.on_node(
        "iptables-nft", "-w", "-I", "INPUT", "1", "-s", "203.0.113.9", "-m", "comment", "--comment", COMMENT, "-j", "DROP"
    )
    subprocess.run(add, check=True)
    try:
        with service.client() as client:
            report = client.post("/v1/diagnoses").json()["report"]
            decider = report["explanation"]["decided_by"]
            assert (report["state"], decider["rule_number"], decider["chain"]) == ("blocked", 7, "INPUT")
            texts = [
                client.get(path, headers=accept).text
                for path, accept in (
                    ("/", {}),
                    ("/", {"Accept": "text/html"}),
                    ("/v1/firewall?o=text", {}),
                    ("/v1/explain?src=10.244.4.7&in=cni0&o=text", {}),
                    ("/metrics", {}),
                )
            ]
            texts.append(client.post("/v1/plans", params={"o": "text"}).text)
        assert any("203.0.113.9" in text for text in texts)
        for text in (*texts, service.log.read_text()):
            assert not {"\x1b", "\u202e"} & set(text)
            assert "\n-I INPUT 1 -j ACCEPT" not in text
    finally:
        subprocess.run(service.on_node("iptables-nft", "-w", "-D", "INPUT", "1"), check=True)


def test_a_token_of_nobody_is_in_no_answer_and_no_log(service):
    """Wherever a client may put one by mistake."""
    secret = CANARY.replace("canary", "stray")
    with httpx.Client(base_url=f"https://127.0.0.1:{service.port}", verify=False, timeout=30) as client:
        answers = [
            client.get("/", headers={"Authorization": f"Bearer {secret}", "Accept": "text/html"}),
            client.get(f"/{secret}"),
            client.post(
                "/v1/fixes", headers={"Authorization": f"Bearer {secret}", **JSON}, content=json.dumps({"token": secret})
            ),
        ]
    with service.client() as client:
        answers += [client.get(f"/v1/fixes/{secret}"), client.post("/v1/fixes", json={"plan": secret}), client.get("/metrics")]
    assert all(secret not in answer.text + str(answer.headers) for answer in answers)
    assert secret not in service.log.read_text()
