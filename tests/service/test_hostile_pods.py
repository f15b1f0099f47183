"""H14 of the threats: a pod with NET_ADMIN fills its own namespace with rules. The node is judged as before, and in bounds."""

import subprocess

import pytest

from agent.lab.topology import METRICS_SERVER, WEB
from tests.service.running import serving

MIB = 1024 * 1024


HOOK = "add table ip x\nadd chain ip x out { type filter hook output priority 0; }\n"


def many_rules():
    """More than are read of a pod (1 MiB, 3 s), each with a long comment."""
    said = "y" * 120
    rules = (f'add rule ip x out tcp dport {1 + number % 9000} counter comment "{said}"\n' for number in range(60_000))
    return HOOK + "".join(rules)


def many_chains():
    """64,000 chains, of which twelve are jumped through one behind the other and four thousand stand side by side."""
    chains = (f"add chain ip x c{number}\n" for number in range(64_000))
    deep = (f"add rule ip x c{number} jump c{number + 1}\n" for number in range(12))
    wide = (f"add rule ip x c12 tcp dport {number} jump c{number}\n" for number in range(16, 4000))
    return HOOK + "".join((*chains, *deep, *wide)) + "add rule ip x out jump c0\n"


@pytest.mark.timeout(300)
@pytest.mark.parametrize("text", [many_rules, many_chains], ids=["rules", "chains"])
def test_a_pod_full_of_rules_costs_its_own_answer_and_no_other(tmp_path, text):
    with serving(tmp_path, "centos-reject") as service, service.client(timeout=120) as client:
        calm = client.post("/v1/diagnoses").raise_for_status().json()["report"]
        before = service.resident(), service.resident("agent.host.broker")
        for pod in (METRICS_SERVER, WEB):
            load = service.on_node("nft", "-f", "-", pod=pod.namespace)
            subprocess.run(load, input=text(), text=True, check=True)
        report = client.post("/v1/diagnoses").raise_for_status().json()["report"]
        assert (report["state"], report["findings"][0]["code"]) == ("blocked", "input-reject")
        assert report["explanation"]["decided_by"] == calm["explanation"]["decided_by"]
        grown = service.resident() - before[0], service.resident("agent.host.broker") - before[1]
        print(f"front {grown[0] / MIB:+.1f} MiB, broker {grown[1] / MIB:+.1f} MiB; {report['seconds']}; {report['problems']}")
        assert max(grown) <= 40 * MIB
        readings = client.get("/v1/capture").json()["pod_firewall"]["readings"]
        assert sum(len(reading["stdout"]) for reading in readings) <= 8 * MIB * len(readings)
        unread = [reading["name"] for reading in readings if reading["status"] != 0]
        assert unread or text is not many_rules
        for name in unread:  # never silently
            assert any(problem.startswith(f"the pod's {name}: ") for problem in report["problems"])
        assert client.get("/livez").text == "ok\n"
