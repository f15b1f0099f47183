"""Who is let in, and what the others are told."""

from hashlib import sha256

import pytest

from agent.api.callers import PEER_UID, Callers
from agent.api.permissions import TABLE
from agent.model.access import CREATE_FIXES, GET_DIAGNOSES, User
from agent.service.authority import Authority, ReviewError
from agent.service.clock import SystemClock
from agent.service.limits import Limiter, Rate

CANARY = "canary-7f3b2d9a1c5e4f60"
BEARER = {"Authorization": f"Bearer {CANARY}"}
# Requests for every row, in the table's own spelling; what is named in a path need not exist.
REQUESTS = [(method, path) for method, path in TABLE if TABLE[method, path].action]


class Cluster:
    """A stand-in for the reviews: `allowed` actions, or an `error`."""

    def __init__(self, *allowed, user="jane", error=None):
        self.allowed, self.user, self.error, self.asked = allowed, user, error, 0

    async def who(self, token):
        self.asked += 1
        if self.error:
            raise ReviewError(self.error)
        return User(name=self.user) if self.user and token == CANARY else None

    async def may(self, user, action):
        return action in self.allowed


def by_cluster(cluster, limiter=None):
    return Callers(authority=Authority(cluster, SystemClock()), reviews=limiter)


STATIC = Callers(token_sha256=sha256(CANARY.encode()).hexdigest())


@pytest.mark.parametrize(("method", "path"), REQUESTS)
def test_a_stranger_is_refused_everywhere_alike(stranger, method, path):
    answer = stranger.client.request(method, path)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert stranger.host.calls == []
    if method != "HEAD":
        assert answer.json() == stranger.client.get("/no/such/thing").json()


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer "},
        {"Authorization": f"Basic {CANARY}"},
        {"Authorization": f"Bearer {CANARY}x"},
        {"Authorization": f"Bearer {'x' * 9000}"},
        {"Authorization": CANARY},
        [("Authorization", f"Bearer {CANARY}"), ("Authorization", f"Bearer {CANARY}")],
        {"Authorization": b"Bearer \xff\xfe"},
    ],
)
def test_what_is_no_token_of_ours_is_nobodys(door, headers):
    assert door(STATIC).client.get("/v1/schemas", headers=headers).status_code == 401


def test_the_static_token_opens(door):
    assert door(STATIC).client.get("/v1/schemas", headers=BEARER).status_code == 200


def test_loopback_is_no_way_in_unless_asked_for(door):
    assert door(Callers(), loopback=True).client.get("/v1/schemas").status_code == 401
    assert door(Callers(insecure_loopback=True), loopback=False).client.get("/v1/schemas").status_code == 401


@pytest.mark.parametrize(("uid", "status"), [(0, 200), (1000, 200), (1001, 403), (65532, 403)])
def test_the_unix_socket_knows_its_users(door, uid, status):
    served = door(Callers(uids=frozenset({0, 1000})), marks={PEER_UID: uid})
    assert served.client.get("/v1/schemas").status_code == status


def test_a_strangers_token_does_not_open_the_unix_socket(door):
    served = door(Callers(uids=frozenset({0}), token_sha256=STATIC._digest), marks={PEER_UID: 1000})
    assert served.client.get("/v1/schemas", headers=BEARER).status_code == 403


def test_a_reader_may_read_and_not_write(door):
    served = door(by_cluster(Cluster(GET_DIAGNOSES)))
    assert served.client.get("/v1/schemas", headers=BEARER).status_code == 200
    for method, path in (("POST", "/v1/fixes"), ("POST", "/v1/plans"), ("DELETE", "/v1/fixes/a"), ("GET", "/v1/capture")):
        answer = served.client.request(method, path, headers=BEARER)
        assert answer.status_code == 403, path
        assert "a ClusterRole must allow it" in answer.json()["detail"]


def test_get_is_never_writing(door):
    served = door(by_cluster(Cluster(CREATE_FIXES)))
    for method in ("GET", "PATCH", "PUT"):
        headers = {**BEARER, "X-HTTP-Method-Override": "POST"}
        assert served.client.request(method, "/v1/fixes", headers=headers).status_code in (403, 405)


def test_an_api_server_that_does_not_decide_denies_with_503(door):
    served = door(by_cluster(Cluster(error="The Kubernetes API did not answer.")))
    answer = served.client.get("/v1/schemas", headers=BEARER)
    assert answer.status_code == 503
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["retry-after"]
    assert CANARY not in answer.text
    assert served.host.calls == []


def test_guesses_cost_the_cluster_little(door):
    cluster = Cluster()
    served = door(by_cluster(cluster, Limiter(Rate(3, 100.0), Rate(100, 1.0), SystemClock())))
    statuses = [served.client.get("/", headers={"Authorization": f"Bearer x{n}"}).status_code for n in range(6)]
    assert statuses == [401] * 3 + [429] * 3
    assert cluster.asked == 3


def test_a_liveness_probe_needs_no_token_and_learns_nothing(stranger):
    assert stranger.client.get("/livez").text == "ok\n"
    assert stranger.client.get("/readyz").text == "ok\n"
