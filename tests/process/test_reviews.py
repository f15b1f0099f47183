"""TokenReview and SubjectAccessReview, asked of a stand-in API server that can be slow, down, or of another mind."""

import asyncio
import json
import threading

import pytest

from agent.cluster import reviews
from agent.cluster.reviews import ReviewError, Reviews
from agent.model.access import CREATE_FIXES, GET_DIAGNOSES, User
from agent.service import authority
from agent.service.authority import Authority
from agent.service.clock import SystemClock
from tests.process.stand_in import Handler, standing_in

CANARY = "canary-5d2a90c7e1f84b36"
AUDIENCE = "kubereach.dev"


class StandIn(Handler):
    """Answers as the server's switches say."""

    def do_POST(self):  # noqa: N802 - the name that http.server calls
        body = self.told()
        server = self.server
        server.asked.append((self.path, body, self.headers.get("Authorization")))
        if server.hang.is_set():
            server.release.wait(5)
        status = server.token if self.path.endswith("tokenreviews") else server.access
        self.answer(server.code, {**body, "status": status} if server.code == 201 else {"kind": "Status", "code": server.code})


GOOD = {
    "authenticated": True,
    "audiences": [AUDIENCE],
    "user": {"username": "jane", "uid": "7", "groups": ["sre"], "extra": {"k": ["v"]}},
}


@pytest.fixture
def api(tmp_path, monkeypatch):
    switches = {"asked": [], "code": 201, "token": dict(GOOD), "access": {"allowed": True}}
    hang, release = threading.Event(), threading.Event()
    with standing_in(StandIn, tmp_path, monkeypatch, **switches, hang=hang, release=release) as server:
        yield server
        release.set()


def judge(action=GET_DIAGNOSES, times=1, between=lambda: None):
    """What the cluster says, `times` over."""

    async def ask():
        asked = Reviews(AUDIENCE, "k8s-worker1")
        found = Authority(asked, SystemClock())
        said = []
        try:
            for _ in range(times):
                said.append(found.remembered(CANARY, action) or await found.judge(CANARY, action))
                between()
        finally:
            await asked.close()
        return said

    return asyncio.run(ask())


def test_who_and_whether(api):
    (said,) = judge()
    assert said.allowed
    assert said.user == User(name="jane", uid="7", groups=("sre",), extra=(("k", ("v",)),))
    (path, token, ours), (path2, access, _) = api.asked
    assert path == "/apis/authentication.k8s.io/v1/tokenreviews"
    assert token["spec"] == {"token": CANARY, "audiences": [AUDIENCE]}
    assert ours == "Bearer our-own"
    assert path2 == "/apis/authorization.k8s.io/v1/subjectaccessreviews"
    assert CANARY not in json.dumps(access)
    assert access["spec"]["user"] == "jane"
    assert access["spec"]["groups"] == ["sre"]
    assert access["spec"]["extra"] == {"k": ["v"]}
    wanted = {"group": "kubereach.dev", "resource": "diagnoses", "verb": "get", "name": "k8s-worker1"}
    assert access["spec"]["resourceAttributes"] == wanted


@pytest.mark.parametrize(
    "status",
    [
        {"authenticated": False},
        {"authenticated": False, "error": "token has been revoked"},
        {**GOOD, "audiences": ["https://kubernetes.default.svc"]},
        {**GOOD, "audiences": []},
        {key: value for key, value in GOOD.items() if key != "audiences"},
        {**GOOD, "authenticated": None},
        {**GOOD, "user": {"username": ""}},
        {**GOOD, "user": None},
        {},
    ],
    ids=["no", "revoked", "other audience", "no audience", "audience-blind", "null", "no name", "no user", "empty"],
)
def test_a_token_that_is_nobodys(api, status):
    api.token = status
    (said,) = judge()
    assert (said.user, said.allowed) == (None, False)
    assert len(api.asked) == 1


@pytest.mark.parametrize("status", [{"allowed": False}, {"allowed": True, "denied": True}])
def test_somebody_who_may_not(api, status):
    api.access = status
    assert not judge()[0].allowed


@pytest.mark.parametrize("code", [400, 401, 403, 404, 429, 500, 503])
def test_an_api_server_that_refuses_us_decides_nothing(api, code):
    api.code = code
    with pytest.raises(ReviewError) as caught:
        judge()
    assert f"HTTP {code}" in str(caught.value)
    assert CANARY not in repr(caught.getrepr(chain=True)) + str(caught.value)


def test_an_api_server_that_is_down_or_slow_decides_nothing(api, monkeypatch):
    monkeypatch.setattr(authority, "DEADLINE", 0.1)
    api.hang.set()
    with pytest.raises(ReviewError, match="within"):
        judge()
    monkeypatch.setenv("KUBECONFIG", "/nonexistent")
    with pytest.raises(ReviewError):
        judge()


def test_readers_are_remembered_for_a_moment_and_writers_are_not(api):
    judge(GET_DIAGNOSES, 3)
    assert len(api.asked) == 2
    api.asked.clear()

    def revoke():
        api.token = {"authenticated": False}

    said = judge(CREATE_FIXES, 2, between=revoke)
    assert [judgement.allowed for judgement in said] == [True, False]


def test_who_waits_for_a_slow_api_server_holds_up_nobody(api, monkeypatch):
    monkeypatch.setattr(authority, "DEADLINE", 0.3)
    api.hang.set()

    async def ask():
        asked = Reviews(AUDIENCE, "n")
        found = Authority(asked, SystemClock())
        waiting = [asyncio.create_task(found.judge(f"token {n}", GET_DIAGNOSES)) for n in range(50)]
        turns = 0
        while not all(task.done() for task in waiting):
            await asyncio.sleep(0)
            turns += 1
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
        await asked.close()
        return turns, outcomes

    turns, outcomes = asyncio.run(ask())
    assert turns > 50
    assert all(isinstance(outcome, ReviewError) for outcome in outcomes)
    assert len(api.asked) <= 16  # eight at once, over two rounds at most


def test_a_client_is_made_anew_after_a_while(api, monkeypatch):
    monkeypatch.setattr(reviews, "_FRESH", -1.0)
    assert [judgement.allowed for judgement in judge(CREATE_FIXES, 2)] == [True, True]
