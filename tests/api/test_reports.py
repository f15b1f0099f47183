"""The routes around a report."""

import asyncio
import json
from dataclasses import replace

import pytest

from agent.api import reports
from agent.model.capture import Capture, Stage
from agent.model.codec import from_plain
from agent.model.reach import Reach
from agent.model.report import Report, State
from agent.service.diagnoses import Diagnosis, Progress
from agent.service.host import BrokerGone, HostError

from .conftest import REPORT


def test_curl_gets_text(served):
    answer = served.client.get("/", headers={"accept": "*/*"})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.text.startswith("k8s-worker1: BLOCKED. Rule 3 of filter INPUT rejects <pods>.\n")


def test_a_browser_gets_the_same_text_in_a_page_that_loads_nothing(served):
    answer = served.client.get("/", headers={"accept": "text/html,application/xhtml+xml,*/*;q=0.8"})
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "rejects &lt;pods&gt;." in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]


def test_a_browser_without_a_token_is_asked_for_one_with_the_same_401(stranger):
    answer = stranger.client.get("/", headers={"accept": "text/html"})
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, 'Bearer realm="kubereach"')
    assert 'id="token"' in answer.text
    assert "rejects" not in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["cache-control"] == "no-store"
    for path, accept in (("/", "*/*"), ("/v1/report", "text/html"), ("/nowhere", "text/html")):
        other = stranger.client.get(path, headers={"accept": accept})
        assert (other.status_code, other.headers["content-type"]) == (401, "application/problem+json")


def test_a_page_is_whole_where_the_journal_cannot_be_read(served):
    served.host.failures = {"fixes": HostError("The journal is on a disk that is gone.")}
    answer = served.client.get("/", headers={"accept": "text/html"})
    assert answer.status_code == 200
    assert "The journal is on a disk that is gone." in answer.text


def test_the_form_can_be_asked_for(served):
    assert served.client.get("/?o=json").json()["state"] == "blocked"
    assert served.client.get("/?o=text", headers={"accept": "text/html"}).headers["content-type"].startswith("text/plain")
    assert served.client.get("/v1/report?o=text").text.startswith("k8s-worker1: BLOCKED.")


def test_the_report_is_the_model(served):
    assert from_plain(Report, served.client.get("/v1/report").json()) == REPORT


def test_the_short_form_is_the_clusters_and_of_the_same_look(served):
    report = served.client.get("/v1/report").json()
    looks = served.host.calls.count("node")
    found = from_plain(Reach, served.client.get("/v1/reach").json())
    assert (found.node, found.state, found.cause) == ("K8s-Worker1", "blocked", "input-reject")
    assert (found.look_time, len(found.fingerprint) > 0) == (report["taken_at"], True)
    assert served.host.calls.count("node") == looks


def test_the_short_form_of_a_first_look_that_a_fix_outdated_is_a_503(served, monkeypatch):
    monkeypatch.setattr(served.diagnoses, "capture", lambda: None)
    answer = served.client.get("/v1/reach")
    assert (answer.status_code, answer.json()["detail"]) == (503, "The rules changed: ask again.")


def test_a_young_report_is_given_again(served):
    served.client.get("/v1/report")
    looks = served.host.calls.count("node")
    served.client.get("/")
    served.client.get("/v1/verdict")
    assert served.host.calls.count("node") == looks


@pytest.mark.parametrize(
    ("state", "status"), [(State.REACHABLE, 200), (State.DEGRADED, 200), (State.BLOCKED, 503), (State.UNKNOWN, 503)]
)
def test_the_verdict_is_one_line_and_a_status(served, state, status):
    served.state(state)
    answer = served.client.get("/v1/verdict")
    assert answer.status_code == status
    assert answer.text.count("\n") == 1
    assert state.value.upper() in answer.text


def test_a_diagnosis_can_be_asked_for_and_found_again(served):
    answer = served.client.post("/v1/diagnoses")
    assert answer.status_code == 201
    body = answer.json()
    assert (body["state"], body["answer"], body["error"]) == ("done", "blocked", "")
    assert from_plain(Report, body["report"]) == REPORT
    assert served.client.get(answer.headers["location"]).json() == body
    assert [item["id"] for item in served.client.get("/v1/diagnoses").json()["items"]] == [body["id"]]


def test_a_diagnosis_may_be_asked_for_more(served, capture):
    body = served.client.post("/v1/diagnoses?deep=true").json()
    assert body["state"] == "done"
    assert "deep" in served.host.calls
    served.host.calls.clear()
    served.client.post("/v1/diagnoses")
    assert "deep" not in served.host.calls
    served.host.capture = replace(capture, node=replace(capture.node, namespaces=()))
    served.client.post("/v1/diagnoses?phantom=true")
    assert served.host.calls.count("end_phantom") == 1
    assert served.client.post("/v1/diagnoses?phantom=perhaps").status_code == 422


def test_a_diagnosis_as_text(served):
    answer = served.client.post("/v1/diagnoses?o=text")
    assert answer.status_code == 201
    assert served.client.get(answer.headers["location"] + "?o=text").text == answer.text


def test_who_does_not_wait_is_told_where(served):
    answer = served.client.post("/v1/diagnoses?wait=false")
    assert answer.status_code == 202
    served.diagnoses.close()
    assert served.client.get(answer.headers["location"]).json()["state"] == "done"


def test_a_post_looks_again_however_young_the_last_report_is(served):
    assert served.client.post("/v1/diagnoses").json()["id"] != served.client.post("/v1/diagnoses").json()["id"]


def test_the_capture_is_what_replay_reads(served, capture):
    taken = from_plain(Capture, served.client.get("/v1/capture").json())
    assert (taken.before, taken.probes) == (capture.before, capture.probes)


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/"), ("GET", "/v1/verdict"), ("POST", "/v1/diagnoses"), ("GET", "/v1/capture")]
)
def test_a_look_that_fails_is_a_problem(served, method, path):
    served.host.failures = {"node": BrokerGone("the broker did not answer node.")}
    answer = served.client.request(method, path)
    assert answer.status_code == 503
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"].startswith("the broker did not answer node.")


def test_a_failed_run_stays_visible(served):
    served.host.failures = {"node": BrokerGone("the broker did not answer node.")}
    served.client.get("/")
    assert [item["state"] for item in served.client.get("/v1/diagnoses").json()["items"]] == ["failed"]


def test_a_forgotten_diagnosis_is_a_problem(served):
    answer = served.client.get("/v1/diagnoses/none")
    assert (answer.status_code, answer.json()["title"]) == (404, "Not found")


def test_events_tell_each_stage_and_then_the_end(served):
    diagnosis = served.client.post("/v1/diagnoses").json()["id"]
    answer = served.client.get(f"/v1/diagnoses/{diagnosis}/events")
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = [dict(line.split(": ", 1) for line in part.split("\n")) for part in answer.text.split("\n\n") if part]
    assert [event["event"] for event in events] == ["stage"] * (len(events) - 1) + ["done"]
    names = [json.loads(event["data"])["name"] for event in events[:-1]]
    assert {"node", "probe pod", "total"} <= set(names)
    assert json.loads(events[-1]["data"])["id"] == diagnosis


def test_events_of_a_failed_run_end_with_its_sentence(served):
    served.host.failures = {"firewall": BrokerGone("the broker ended")}
    served.client.post("/v1/diagnoses?wait=false")
    served.diagnoses.close()
    diagnosis = served.diagnoses.all()[0].id
    text = served.client.get(f"/v1/diagnoses/{diagnosis}/events").text
    assert "event: failed\n" in text
    assert "the broker ended" in text


def test_events_of_nobody_are_a_problem(served):
    assert served.client.get("/v1/diagnoses/nobody/events").status_code == 404


class Following:
    """Diagnoses that say of one another thing each time they are asked, and at last that it is forgotten."""

    def __init__(self, *said):
        self.said = iter(said)

    def get(self, _):
        return next(self.said, None)


def followed(monkeypatch, *said):
    async def gather():
        return [event async for event in reports._events(Following(*said), "a")]

    monkeypatch.setattr(reports, "_PULSE", 0)
    return asyncio.run(gather())


def test_a_look_under_way_is_told_stage_by_stage(monkeypatch):
    running = Diagnosis(id="a", progress=Progress.RUNNING, asked_at="now")
    one, two = Stage(name="node", seconds=0.1), Stage(name="total", seconds=0.2)
    ended = replace(running, progress=Progress.DONE, ended_at="later", stages=(one, two))
    told = followed(monkeypatch, running, replace(running, stages=(one,)), replace(running, stages=(one,)), ended)
    assert [event.partition("\n")[0] for event in told] == ["event: stage", "event: stage", "event: done"]


def test_a_silent_look_has_a_beat_and_a_forgotten_one_an_end(monkeypatch):
    running = Diagnosis(id="a", progress=Progress.RUNNING, asked_at="now")
    assert followed(monkeypatch, *[running] * 45) == [": still looking\n\n"] * 2
