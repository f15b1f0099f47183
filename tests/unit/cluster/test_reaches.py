"""agent.cluster.reaches and connection: values to objects and back, and every failure as a sentence."""

from dataclasses import replace
from typing import Any

import pytest

from agent.cluster.connection import ClusterError, Connection, configuration, connect
from agent.cluster.events import Events
from agent.cluster.reaches import Reaches, from_object, to_status
from agent.model.reach import Reach, ReachFinding, ReachRule
from tests.unit.render.test_fleet import BLOCKED

FULL = replace(
    BLOCKED,
    summary="s",
    rule=ReachRule(place="p", text="t", backend="nft", family="ip", hook="input", table="filter", chain="INPUT", number=6),
    fix=replace(BLOCKED.fix, rule="r", applied_time="T8") if BLOCKED.fix else None,
    pod_cidrs=("10.244.4.0/24",),
    kubelet_port=10250,
    agent_version="1",
    requested="W",
    honoured="W",
)


class Response:
    def __init__(self, status: int, **headers: str) -> None:
        self.status_code, self.headers = status, headers


class ApiError(Exception):
    def __init__(self, status: int, **headers: str) -> None:
        super().__init__("no\nway")
        self.response = Response(status, **headers)


class Client:
    """What lightkube's client does, in memory."""

    def __init__(self, *objects: dict[str, Any], error: Exception | None = None) -> None:
        self.objects = {each["metadata"]["name"]: each for each in objects}
        self.error, self.made, self.patched = error, [], []  # type: ignore[var-annotated]

    def _fail(self) -> None:
        if self.error:
            raise self.error

    def get(self, kind: Any, name: str) -> Any:
        self._fail()
        if name not in self.objects:
            raise ApiError(404)
        return self.objects[name]

    def create(self, value: Any, **more: Any) -> None:
        self._fail()
        self.made.append((value, more))

    def patch(self, kind: Any, name: str, change: Any, patch_type: Any) -> None:
        self._fail()
        self.patched.append((kind, name, change, patch_type.value))

    def list(self, kind: Any, chunk_size: int) -> Any:
        self._fail()
        return list(self.objects.values())


def stored(reach: Reach) -> dict[str, Any]:
    return {"metadata": {"name": reach.node}, "spec": {"runRequestTime": reach.requested}, "status": to_status(reach)}


def test_what_is_written_is_read_again() -> None:
    assert from_object(stored(FULL)) == FULL
    empty = Reach(node="w2", state="reachable")
    assert from_object(stored(empty)) == empty


def test_what_another_version_wrote_is_read_as_far_as_it_goes() -> None:
    assert from_object({"metadata": {"name": "n"}}) == Reach(node="n")
    assert from_object({"metadata": {"name": "n"}, "status": {"state": "blocked", "later": 1}}).state == "blocked"


@pytest.mark.parametrize(
    ("state", "want"), [("reachable", "True"), ("degraded", "True"), ("blocked", "False"), ("unknown", "Unknown")]
)
def test_the_condition_follows_the_state(state: str, want: str) -> None:
    (condition,) = to_status(replace(FULL, state=state))["conditions"]
    assert (condition["type"], condition["status"], condition["reason"]) == ("Reachable", want, "InputReject")


def test_a_rule_that_is_gone_is_taken_away_by_the_patch() -> None:
    assert to_status(Reach(node="n", state="reachable"))["rule"] is None
    assert to_status(FULL)["rule"]["number"] == 6
    assert to_status(replace(FULL, rule=ReachRule(policy=True)))["rule"]["number"] is None


def test_statuses_are_written_through_the_subresource_and_wishes_to_the_spec() -> None:
    client = Client(stored(FULL))
    reaches = Reaches(Connection(client))
    assert reaches.get("w1") == FULL
    assert reaches.get("nobody") is None
    assert list(reaches.list()) == [FULL]
    reaches.put_status(FULL)
    reaches.request_run("w1", "W2")
    (status, name, _, kind), (spec, _, wish, _) = client.patched
    assert (name, kind, wish) == ("w1", "application/merge-patch+json", {"spec": {"runRequestTime": "W2"}})
    assert status is spec.Status


def test_an_object_that_is_there_already_need_not_be_made() -> None:
    Reaches(Connection(Client(error=ApiError(409)))).create("w1")
    with pytest.raises(ClusterError):
        Reaches(Connection(Client(error=ApiError(403)))).create("w1")


def test_failures_are_sentences_with_status_and_patience() -> None:
    reaches = Reaches(Connection(Client(error=ApiError(429, **{"Retry-After": "7"}))))
    with pytest.raises(ClusterError, match=r"^reading reach/w1 failed: no way$") as caught:
        reaches.get("w1")
    assert (caught.value.status, caught.value.patience) == (429, 7.0)
    with pytest.raises(ClusterError) as caught:
        list(Reaches(Connection(Client(error=OSError("unreachable")))).list())
    assert (caught.value.status, caught.value.patience) == (0, None)


def test_an_event_is_told_on_the_node() -> None:
    client = Client()
    Events(Connection(client)).tell(FULL, "2026-01-31T12:00:00Z", "abc")
    ((event, more),) = client.made
    assert more == {"namespace": "default"}
    assert (event.metadata.name, event.involvedObject.kind, event.involvedObject.name) == ("w1.abc", "Node", "w1")
    assert (event.type, event.reason, event.message) == ("Warning", "KubeletBlocked", "s")
    Events(Connection(client)).tell(Reach(node="w2", state="reachable"), "2026-01-31T12:00:00Z", "abd")
    assert (client.made[1][0].type, client.made[1][0].reason) == ("Normal", "KubeletReachable")


def test_without_a_configuration_there_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    assert configuration() is None
    with pytest.raises(ClusterError, match="no cluster is configured"):
        connect()
    monkeypatch.setenv("KUBECONFIG", "/nowhere/config:/other")
    with pytest.raises(ClusterError, match="the cluster's configuration /nowhere/config failed"):
        connect()


def test_no_empty_value_is_written() -> None:
    """Some API servers take `""` and `false` for null, which the schema refuses."""

    def empties(value: object) -> list[object]:
        if isinstance(value, dict):
            return [each for item in value.values() for each in empties(item)]
        if isinstance(value, list):
            return [each for item in value for each in empties(item)]
        return [value] if value in ("", False) and value is not None else []

    bare = Reach(
        node="w2",
        state="reachable",
        look_time="2026-01-01T00:00:00Z",
        transition_time="2026-01-01T00:00:00Z",
        rule=ReachRule(place="filter INPUT policy"),
        findings=(ReachFinding(code="c", severity="info"),),
    )
    assert empties(to_status(bare)) == []
