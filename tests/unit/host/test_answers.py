import re
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import pytest

from agent.host import firewall, operations
from agent.host.answers import Answers
from agent.host.memory_limit import Left
from agent.host.room import MIB, NO_ROOM, Room
from agent.host.workers import TWIN, Workers
from agent.model.capture import NFT_JSON, Firewall, Problem, Reading
from agent.model.codec import to_plain
from agent.model.settings import Settings
from agent.model.twin import TwinRequest, TwinResult, TwinVerdict

TRACE = {"namespace": 7, "source": "10.244.4.7", "target": "172.31.16.124", "port": 10250}
ORDER = {
    "id": "0123456789ab",
    "flow": {"source": "10.244.4.0/24", "destination": "172.31.16.124", "port": 10250},
    "place": {"backend": "nft", "chain": "INPUT", "before": ""},
    "digest": "",
}
PART = {"kind": "chain", "family": "ip", "table": "filter", "name": "INPUT"}


@pytest.fixture
def answers() -> Iterator[Answers]:
    workers = Workers()
    yield Answers(Settings(cni_dirs=(), netns_dirs=()), workers, lambda channel: channel.close())
    workers.close()


def test_hello_says_who_answers(answers: Answers) -> None:
    assert answers.answer({"op": "hello", "arguments": {}}).body["value"]["protocol"] == operations.PROTOCOL


@pytest.mark.parametrize(
    ("request_", "why"),
    [
        ({}, "exactly"),
        ({"op": "node"}, "exactly"),
        ({"op": "node", "arguments": {}, "more": 1}, "exactly"),
        ({"op": ["node"], "arguments": {}}, "exactly"),
        ({"op": "node", "arguments": []}, "exactly"),
        ({"op": "run", "arguments": {"argv": ["sh"]}}, "no such operation"),
        ({"op": "_socket", "arguments": {}}, "no such operation"),
        ({"op": "__init__", "arguments": {}}, "no such operation"),
        ({"op": "node", "arguments": {"path": "/etc/shadow"}}, "does not take path"),
        ({"op": "pod_route", "arguments": {}}, "address is missing"),
        ({"op": "deep", "arguments": {"request": {**TRACE, "target": "169.254.169.254"}}}, "to a node's"),
        ({"op": "deep", "arguments": {"request": {**TRACE, "target": "fd00::1"}}}, "to a node's"),
        ({"op": "deep", "arguments": {"request": {**TRACE, "target": "kubernetes.default"}}}, "to a node's"),
        ({"op": "deep", "arguments": {"request": {**TRACE, "port": 0}}}, "to a node's"),
        ({"op": "pod_route", "arguments": {"address": "10.0.0.1; reboot"}}, r"\$\.address"),
        ({"op": "parts", "arguments": {"generation": 1, "parts": [{**PART, "kind": "ruleset"}]}}, "chain, set or map"),
        ({"op": "parts", "arguments": {"generation": 1, "parts": [{**PART, "family": "-f"}]}}, "chain, set or map"),
        ({"op": "parts", "arguments": {"generation": 1, "parts": [{**PART, "name": "a" * 256}]}}, "chain, set or map"),
        ({"op": "parts", "arguments": {"generation": 1, "parts": [{**PART, "table": ""}]}}, "chain, set or map"),
        ({"op": "parts", "arguments": {"generation": 1, "parts": [{**PART, "name": ["x"]}]}}, "expected str"),
        ({"op": "hold", "arguments": {"parts": [{**PART, "kind": "ruleset"}]}}, "chain, set or map"),
        ({"op": "hold", "arguments": {"parts": [PART] * 401}}, "more than 400 parts"),
        (
            {"op": "ground", "arguments": {"backend": "nft", "version": 4, "chain": "INPUT", "parts": [{**PART, "table": ""}]}},
            "chain, set or map",
        ),
        ({"op": "apply", "arguments": {"order": {**ORDER, "parts": [{**PART, "name": "a" * 256}]}}}, "chain, set or map"),
        ({"op": "socket", "arguments": {"namespace": 0, "version": 5}}, "version 4 or 6"),
        ({"op": "socket", "arguments": {"namespace": -1, "version": 4}}, "version 4 or 6"),
        ({"op": "socket", "arguments": {"namespace": 0, "version": 4, "kind": "raw"}}, "`stream` or a `dgram`"),
        ({"op": "socket", "arguments": {"namespace": 0, "version": 4, "kind": 3}}, "expected str"),
        ({"op": "pod_files", "arguments": {"namespace": 5, "path": "etc/shadow"}}, "does not take path"),
        ({"op": "pod_files", "arguments": {"namespace": "etc"}}, "expected int"),
        ({"op": "socket", "arguments": {"namespace": "/proc/1/ns/net", "version": 4}}, "expected int"),
        ({"op": "socket", "arguments": {"namespace": True, "version": 4}}, "expected int"),
    ],
)
def test_what_is_not_on_the_list_is_refused(answers: Answers, request_: dict[str, Any], why: str) -> None:
    reply = answers.answer(request_)
    assert reply.attached is None
    assert reply.body["error"] == operations.REFUSED
    assert re.search(why, reply.body["message"])


def test_a_namespace_that_does_not_exist_is_gone(answers: Answers) -> None:
    reply = answers.answer({"op": "socket", "arguments": {"namespace": 1, "version": 4}})
    assert reply.body["error"] == operations.NAMESPACE_GONE


def test_each_operation_has_its_arguments(answers: Answers) -> None:
    assert set(answers._operations) == set(operations.ARGUMENTS)


def test_a_socket_in_the_hosts_namespace_needs_no_privilege(answers: Answers) -> None:
    reply = answers.answer({"op": "socket", "arguments": {"namespace": 0, "version": 6}})
    assert reply.attached is not None
    reply.attached.close()


class Asked(Workers):
    """Workers that start nothing: the twin says DROP, and is certain."""

    def __init__(self) -> None:
        super().__init__()
        self.jobs: list[str] = []
        self.warmed: list[str] = []

    def warm(self, module: str) -> None:
        self.warmed.append(module)

    def ask(self, module: str, job: dict[str, Any], kind: type[Any]) -> Any:
        self.jobs.append(module)
        return kind(TwinResult(verdict=TwinVerdict.DROP), certain=True)


def test_a_look_may_be_answered_by_what_the_twin_saw_and_a_fix_may_not(monkeypatch: pytest.MonkeyPatch) -> None:
    workers, rules = Asked(), Firewall(readings=(Reading(name=NFT_JSON, argv=("nft",), status=0, stdout='{"nftables": []}'),))
    monkeypatch.setattr(firewall, "capture", lambda _, again: rules)
    answers = Answers(Settings(cni_dirs=(), netns_dirs=()), workers, lambda channel: channel.close())
    digest = answers.firewall().digest()
    asked = TwinRequest(
        firewall=digest, source=ip_address("10.0.0.2"), destination=ip_address("10.0.0.1"), iif="cni0", dport=10250
    )
    request = {"op": "twin", "arguments": {"request": to_plain(asked)}}
    assert [answers.answer(request).body["value"]["verdict"] for _ in range(2)] == ["DROP", "DROP"]
    assert workers.jobs == [TWIN]
    for _ in range(2):
        assert answers.twin(asked).verdict is TwinVerdict.DROP
    assert workers.jobs == [TWIN] * 3
    assert answers.twin(replace(asked, firewall="other")).problem != ""


def test_the_twin_is_warmed_until_something_is_kept() -> None:
    workers = Asked()
    answers = Answers(Settings(cni_dirs=(), netns_dirs=()), workers, lambda channel: channel.close())
    answers.warm()
    assert TWIN in workers.warmed
    workers.warmed.clear()
    answers._trials._keep("key", TwinResult())
    answers.warm()
    assert TWIN not in workers.warmed


@pytest.mark.parametrize("whole", [True, False], ids=["read", "no room"])
def test_what_a_look_began_without_it_goes_on_without(monkeypatch: pytest.MonkeyPatch, whole: bool) -> None:
    """Two readings of which the second has a backend more tell of no counter."""
    asked: list[bool] = []
    problems = () if whole else (Problem(what="iptables-legacy-save", why=f"it was not started: {NO_ROOM}: it takes 90 MiB"),)
    monkeypatch.setattr(firewall, "survey", lambda _: Firewall(problems=problems))
    monkeypatch.setattr(firewall, "capture", lambda _, again: asked.append(again) or Firewall())
    answers = Answers(Settings(cni_dirs=(), netns_dirs=()), Asked(), lambda channel: channel.close())
    for operation in ("firewall", "survey", "firewall"):
        assert "error" not in answers.answer({"op": operation, "arguments": {}}).body
    assert asked == [False, whole]


def test_a_trial_of_many_rules_is_not_begun_without_room(monkeypatch: pytest.MonkeyPatch) -> None:
    class Limit:
        def left(self) -> Left:
            return Left(28 * MIB, 128 * MIB)

    for size, tried in ((MIB, 1), (2 * MIB, 0)):
        workers, reading = Asked(), Reading(name=NFT_JSON, argv=("nft",), status=0, stdout="x" * size)
        answers = Answers(Settings(cni_dirs=(), netns_dirs=()), workers, lambda channel: channel.close(), room=Room(Limit()))
        monkeypatch.setattr(firewall, "capture", lambda _, again, text=reading: Firewall(readings=(text,)))
        digest = answers.firewall().digest()
        asked = TwinRequest(
            firewall=digest, source=ip_address("10.0.0.2"), destination=ip_address("10.0.0.1"), iif="cni0", dport=10250
        )
        found = answers.twin(asked)
        assert len(workers.jobs) == tried
        assert bool(found.problem) is not bool(tried)
        assert tried or found.problem.startswith("the twin was not tried: there is no room for it: it takes 32 MiB")
