"""H7 and H17 of the threats: who guesses tokens, paths and names learns nothing from what comes back, nor from when."""

import http.client
import os
import random
import ssl
import statistics
import time

import pytest

from agent.api.permissions import TABLE
from tests.service.running import CANARY, serving

# Guesses of each kind; KUBEREACH_GUESSES for more.
GUESSES = int(os.environ.get("KUBEREACH_GUESSES", "1000"))
# Standard deviations of the rank sum: by chance alone once in two million runs.
CHANCE = 5.0
CONTEXT = ssl._create_unverified_context()


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("guesses"), "healthy") as running:
        yield running


@pytest.fixture
def connection(service):
    made = http.client.HTTPSConnection("127.0.0.1", service.port, timeout=30, context=CONTEXT)
    yield made
    made.close()


def ask(connection, method, path, token=""):
    """The status, the headers that are not a clock's, and the body."""
    connection.request(method, path, headers={"Authorization": f"Bearer {token}"} if token else {})
    answer = connection.getresponse()
    body = answer.read()
    return answer.status, sorted((name, value) for name, value in answer.getheaders() if name != "date"), body


def test_a_stranger_cannot_tell_what_exists(connection):
    asked = [(method, path.partition("?")[0]) for (method, path), row in TABLE.items() if row.action and "?" not in path]
    asked += [
        ("GET", "/version"),
        ("GET", "/docs"),
        ("PUT", "/v1/report"),
        ("GET", "/v1/fixes/0123456789ab"),
        ("GET", "/.git/config"),
    ]
    for token in ("", "wrong-wrong-wrong"):
        answers = {(method, path): ask(connection, method, path, token) for method, path in asked if method != "HEAD"}
        (status, headers, body) = answers["GET", "/version"]
        assert status == 401
        assert all(answer == (status, headers, body) for answer in answers.values())
        assert b"0.1" not in body
        assert "server" not in dict(headers)


def rank_sum(one, other):
    """How many standard deviations the ranks of two samples are apart (Mann-Whitney, by the normal approximation)."""
    ranked = sorted((value, number) for number, values in enumerate((one, other)) for value in values)
    ranks = sum(rank for rank, (_, number) in enumerate(ranked, 1) if number == 0)
    n, m = len(one), len(other)
    return (ranks - n * (n + m + 1) / 2) / (n * m * (n + m + 1) / 12) ** 0.5


def test_how_nearly_right_a_token_is_does_not_show_in_the_time(connection):
    """In turn by chance, so that what a busy machine adds, it adds to both."""
    guesses = {"nearly right": f"{CANARY[:-1]}{'0' if CANARY[-1] != '0' else '1'}", "all wrong": "z" * len(CANARY)}
    dice = random.Random("guesses")
    for token in guesses.values():
        assert ask(connection, "GET", "/v1/schemas", token)[0] == 401
    times = {kind: [] for kind in guesses}
    for kind in dice.sample([*guesses] * GUESSES, 2 * GUESSES):
        started = time.perf_counter()
        ask(connection, "GET", "/v1/schemas", guesses[kind])
        times[kind].append(time.perf_counter() - started)
    apart = rank_sum(*times.values())
    medians = {kind: f"{statistics.median(values) * 1e6:.0f} us" for kind, values in times.items()}
    print(f"{GUESSES} guesses of each kind, medians {medians}: {apart:+.1f} standard deviations apart")
    assert abs(apart) < CHANCE


def test_a_difference_in_time_would_be_seen():
    """The same measure of two samples of which one is a tenth later: a test that cannot fail proves nothing."""
    dice = random.Random("apart")
    times = [dice.gauss(1.0, 0.2) for _ in range(2 * GUESSES)]
    assert (
        abs(rank_sum(times[:GUESSES], times[GUESSES:]))
        < CHANCE
        < abs(rank_sum(times[:GUESSES], [time + 0.1 for time in times[GUESSES:]]))
    )


NAMES = (
    "../../etc/passwd",
    "..%2f..%2fetc%2fpasswd",
    "%00",
    "a%00b",
    "%0d%0aX-Injected:%201",
    "$(touch%20x)",
    ";reboot",
    "%1b%5b31m",
    "%e2%80%ae",
    "%ff%fe",
    "-I",
    "*",
    "a" * 254,
    "0" * 4096,
)
NAMED = (
    ("GET", "/v1/diagnoses/{}"),
    ("GET", "/v1/plans/{}"),
    ("GET", "/v1/fixes/{}"),
    ("POST", "/v1/fixes/{}/confirm"),
    ("DELETE", "/v1/fixes/{}"),
    ("GET", "/v1/schemas/{}"),
)


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_a_name_is_looked_up_and_never_followed(connection, name):
    """Ids of the caller reach no path and no command line: what is not known is not there."""
    for method, path in NAMED:
        status, headers, body = ask(connection, method, path.format(name), CANARY)
        assert status in {403, 404, 405, 422}, (method, path, status, body)
        assert dict(headers)["content-type"] == "application/problem+json"
        assert "x-injected" not in dict(headers)
        assert b"root:" not in body
        assert not {b"\x1b", b"\x00", "\u202e".encode()} & {body[i : i + n] for n in (1, 3) for i in range(len(body))}
