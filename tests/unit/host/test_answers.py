import re
from collections.abc import Iterator
from typing import Any

import pytest

from agent.host import operations
from agent.host.answers import Answers
from agent.host.workers import Workers
from agent.model.settings import Settings

TRACE = {"namespace": 7, "source": "10.244.4.7", "target": "172.31.16.124", "port": 10250}
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
