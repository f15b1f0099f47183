"""A firewall too large to be read whole: the twin of the chains that count, held to the kernel, and a fix that rests on it."""

import os
import subprocess
import sys
from dataclasses import replace
from ipaddress import ip_network
from typing import Any

import httpx
import pytest

from agent.analysis.path.reach import Asked
from agent.host.client import Broker
from agent.model.capture import Firewall
from agent.model.outline import Part
from agent.model.packet import Packet
from agent.model.ruleset import Backend
from agent.model.twin import TwinInsert, TwinResult, TwinVerdict
from agent.service.clock import SystemClock
from agent.service.explaining import explain_live
from agent.service.question import Question
from agent.service.reading import parts_of, read_for
from tests.bench.world import staged
from tests.lab.kube_shape import kube_proxy
from tests.lab.program import inside, sh
from tests.lab.test_twin_rules import PACKET, SETTINGS, met

pytestmark = pytest.mark.lab

POD = Packet(source=PACKET.source, destination=PACKET.destination, dport=10250, iif="cni0", local=(PACKET.destination,))
ASKED = (Asked(POD, sources=ip_network("10.244.4.0/24")),)
_OPENS = ("-s", "10.244.4.0/24", "-j", "ACCEPT")
NATIVE = """
    table inet fw {
        map ends { type inet_service : verdict; elements = { 22 : accept, 10250 : jump late }; }
        chain in { type filter hook input priority 10; policy accept; tcp dport vmap @ends; }
        chain late { ip saddr 10.244.0.0/16 goto last; }
        chain last { drop; }
        chain never { jump last; }
    }
"""


def load(command: str, text: str) -> None:
    done = subprocess.run(command.split(), input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def look(broker: Broker) -> Firewall:
    found = read_for(broker, ASKED)
    assert found.outline is not None, "it was small enough to be read whole"
    return found


def ask(broker: Broker, parts: tuple[Part, ...], insert: TwinInsert | None = None) -> TwinResult:
    return broker.twin(replace(PACKET, firewall=broker.hold(parts), insert=insert))


def without(parts: tuple[Part, ...], name: str) -> tuple[Part, ...]:
    left = tuple(part for part in parts if part.name != name)
    assert len(left) < len(parts), f"{name} was not among {parts}"
    return left


@inside
def test_the_twin_of_a_few_chains_says_what_the_kernel_says() -> None:
    load("iptables-nft-restore", kube_proxy(400))
    with Broker.start(SETTINGS) as broker:
        parts = parts_of(look(broker))
        assert len(parts) < 20
        result = ask(broker, parts)
        assert (result.verdict, result.icmp, result.not_modelled) == (TwinVerdict.REJECT, (3, 10), ()), result
        assert ("nft", "filter", "INPUT", 7) in met(result)
        ours = TwinInsert(
            backend="nft", table="filter", chain="INPUT", position=7, spec=("-s", "10.244.4.0/24", "-j", "ACCEPT")
        )
        opened = ask(broker, parts, ours)
        assert (opened.verdict, opened.not_modelled) == (TwinVerdict.ACCEPT, ()), opened


@inside
def test_a_rule_of_somebodys_choice_is_tried_among_the_chains_that_count() -> None:
    load("iptables-nft-restore", kube_proxy(400))
    sh("ip link add cni0 type bridge", "ip address add 10.244.4.1/24 dev cni0", "ip link set cni0 up")
    sh("ip link add eth0 type veth peer name eth1", "ip address add 172.31.16.124/20 dev eth0", "ip link set eth0 up")
    asked = Question(src=str(POD.source), dst=str(POD.destination), dport="10250", in_="cni0")
    with Broker.start(SETTINGS) as broker:
        found = explain_live(broker, asked, SystemClock(), twin=True)
        assert found.twin is not None
        assert (found.verdict.value, found.twin.verdict, found.twin.not_modelled) == ("REJECT", TwinVerdict.REJECT, ()), found
        opened = explain_live(broker, asked, SystemClock(), what_if="INPUT 7 -s 10.244.4.0/24 -j ACCEPT")
        assert opened.twin is not None
        assert (opened.verdict.value, opened.twin.verdict) == ("REJECT", TwinVerdict.ACCEPT), opened.twin


@inside
def test_whoever_names_too_few_chains_is_told_and_never_believed() -> None:
    load("iptables-nft-restore", kube_proxy(400))
    load("nft -f -", NATIVE)
    with Broker.start(SETTINGS) as broker:
        parts = parts_of(look(broker))
        assert "never" not in {part.name for part in parts}
        sh("iptables-nft -D INPUT 7")  # what is left to stop it is nft's own
        whole = ask(broker, parts_of(look(broker)))
        assert (whole.verdict, whole.not_modelled) == (TwinVerdict.DROP, ()), whole
        for name in ("in", "late", "last", "KUBE-SERVICES", "PREROUTING"):
            few = ask(broker, without(parts, name))
            assert few.verdict is TwinVerdict.UNKNOWN, (name, few)
            assert any(f" {name}, which was not read" in why for why in few.not_modelled), (name, few)
        mapless = ask(broker, without(parts, "ends"))
        assert mapless.verdict is TwinVerdict.UNKNOWN, mapless
        nothing = ask(broker, ())
        assert nothing.verdict is TwinVerdict.UNKNOWN, nothing


@inside
def test_what_a_look_has_read_is_not_read_again_for_the_twin() -> None:
    load("iptables-nft-restore", kube_proxy(400))
    with Broker.start(SETTINGS) as broker:
        parts = parts_of(look(broker))
        names = {broker.hold(parts) for _ in range(2)}
        assert len(names) == 1
        sh("iptables-nft -I INPUT -p tcp --dport 10250 -j DROP")
        assert broker.hold(parts) not in names
        assert ask(broker, parts).verdict is TwinVerdict.DROP


@pytest.mark.skipif(os.geteuid() != 0, reason="it enters the lab's namespaces from outside, which takes root")
@pytest.mark.parametrize("elsewhere", [True, False], ids=["another node's services", "this node's services"])
def test_the_incident_on_a_node_with_many_services_from_plan_to_revert(elsewhere: bool) -> None:
    with (
        staged("centos-reject", Backend.NFT, allow_fix=True) as world,
        httpx.Client(base_url=f"http://127.0.0.1:{world.port}", timeout=60) as client,
    ):

        def asked(method: str, path: str, **body: str) -> dict[str, Any]:
            answer = client.request(method, path, json=body if method == "POST" else None)
            assert answer.is_success, answer.text
            found: dict[str, Any] = answer.json()
            return found

        def state() -> str:
            return str(asked("POST", "/v1/diagnoses")["report"]["state"])

        world.load(Backend.NFT, 500, elsewhere=elsewhere)
        finding = asked("POST", "/v1/diagnoses")["report"]["findings"][0]
        assert finding["witnesses"]["twin"] == "agrees", finding
        plan = asked("POST", "/v1/plans")
        assert len(plan["parts"]) > 3
        assert (plan["before"]["twin"], plan["after"]["twin"]) == ("REJECT", "ACCEPT")
        # kube-proxy goes on writing: the services are no reason for another plan.
        world.on_node("iptables-nft", "-t", "nat", "-A", "KUBE-SVC-00000001", "-j", "RETURN")
        fix = asked("POST", "/v1/fixes", plan=plan["id"])
        assert fix["state"] == "trial"
        assert state() == "reachable"
        assert asked("DELETE", f"/v1/fixes/{fix['id']}")["state"] == "reverted"
        assert state() == "blocked"
        stale = asked("POST", "/v1/plans")
        world.on_node("iptables-nft", "-I", "INPUT", "-p", "tcp", "--dport", "9", "-j", "ACCEPT")
        answer = client.post("/v1/fixes", json={"plan": stale["id"]})
        assert answer.status_code == 409, answer.text
        assert "--dport 9 " in answer.text


if __name__ == "__main__":
    globals()[sys.argv[1]].body()
