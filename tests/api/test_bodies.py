"""Bodies before any route sees them."""

import asyncio

import pytest

from agent.api import bodies
from agent.api.bodies import ClientGoneError, check_json, read
from agent.api.problems import ProblemError

JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize("body", [b"{}", b"null", b'{"a": [1, 2.5, "x", null, true]}', b"[" * 31 + b"]" * 31, '"ü"'.encode()])
def test_json_is_taken(body):
    check_json(body)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"NaN",
        b"[Infinity]",
        b"-Infinity",
        b"1e999",
        b'{"a": 1, "a": 2}',
        b'{"b": {"a": 1, "a": 1}}',
        b'"\\u0000"',
        b'{"\\u0000": 1}',
        b'"\\ud800"',
        b"\xff",
        b"\xef\xbb\xbf{}",
        b"[" * 33 + b"]" * 33,
        b"[" * 60000,
        b'{"a":' * 10000,
        b"{} {}",
        b"{'a': 1}",
        b"9" * 60000,
    ],
)
def test_what_parsers_would_quarrel_about_is_a_400(body):
    with pytest.raises(ProblemError) as caught:
        check_json(body)
    assert caught.value.status == 400


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
        ({"Content-Type": "multipart/form-data; boundary=x"}, 415),
        ({"Content-Type": "application/json-patch+json"}, 415),
        ({**JSON, "Content-Encoding": "gzip"}, 415),
        ({**JSON}, 201),
        ({"Content-Type": "application/json; charset=utf-8"}, 201),
    ],
)
def test_json_only(served, headers, status):
    assert served.client.post("/v1/diagnoses", content="{}", headers=headers).status_code == status


def test_a_form_without_fields_is_refused_too(served):
    answer = served.client.post("/v1/diagnoses", headers={"Content-Type": "application/x-www-form-urlencoded"})
    assert answer.status_code == 415


def test_a_body_is_too_large_from_its_header_or_as_it_comes(served):
    parts = (b"[" + b" " * 40000 for _ in range(3))
    assert served.client.post("/v1/diagnoses", content=parts, headers=JSON).status_code == 413
    answer = served.client.post("/v1/diagnoses", content=b" " * 65537, headers=JSON)
    assert (answer.status_code, answer.headers["connection"]) == (413, "close")
    assert served.host.calls == []


def run(*messages, hang=False):
    queue = list(messages)

    async def receive():
        if not queue and hang:
            await asyncio.sleep(10)
        return queue.pop(0)

    return asyncio.run(read(receive))


def test_a_body_in_parts_is_put_together():
    assert run({"type": "http.request", "body": b"a", "more_body": True}, {"type": "http.request", "body": b"b"}) == b"ab"


def test_a_client_that_leaves_is_not_answered():
    with pytest.raises(ClientGoneError):
        run({"type": "http.request", "body": b"a", "more_body": True}, {"type": "http.disconnect"})


def test_a_body_that_does_not_come_is_a_408(monkeypatch):
    monkeypatch.setattr(bodies, "SECONDS", 0.02)
    with pytest.raises(ProblemError) as caught:
        run({"type": "http.request", "body": b"a", "more_body": True}, hang=True)
    assert caught.value.status == 408
