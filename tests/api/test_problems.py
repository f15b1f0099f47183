"""Every error has the same shape and tells what to do."""

import pytest

REQUIRED = {"type", "title", "status", "detail"}


@pytest.mark.parametrize(
    ("method", "path", "status", "said"),
    [
        ("GET", "/v1/nothing", 404, "/openapi.json"),
        ("DELETE", "/v1/report", 405, "use GET"),
        ("GET", "/v1/report?o=xml", 422, "'text' or 'json'"),
        ("GET", "/v1/report?form=text", 422, "it knows o"),
        ("GET", "/v1/verdict?x=1", 422, "it has none"),
        ("POST", "/v1/diagnoses?wait=maybe", 422, "wait"),
        ("GET", "/docs", 404, "nothing at /docs"),
    ],
)
def test_errors_are_problems(served, method, path, status, said):
    answer = served.client.request(method, path)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert set(body) >= REQUIRED
    assert body["status"] == status
    assert said in body["detail"]


def test_a_method_that_is_not_there_names_those_that_are(served):
    assert served.client.delete("/v1/report").headers["allow"] == "GET"


def test_a_bug_is_named_without_its_trace(served, monkeypatch):
    def stumble():
        raise ZeroDivisionError("secret detail")

    monkeypatch.setattr(served.diagnoses, "all", stumble)
    answer = served.client.get("/v1/diagnoses")
    assert (answer.status_code, answer.headers["content-type"]) == (500, "application/problem+json")
    assert answer.headers["cache-control"] == "no-store"
    assert "Traceback" not in answer.text
    assert "secret detail" not in answer.text
    assert "ZeroDivisionError" in answer.json()["detail"]


def test_the_description_lists_the_routes(served):
    paths = served.client.get("/openapi.json").json()["paths"]
    assert set(paths) >= {
        "/",
        "/v1/report",
        "/v1/verdict",
        "/v1/diagnoses",
        "/v1/explain",
        "/v1/firewall",
        "/readyz",
        "/metrics",
    }
    assert {item["name"] for item in paths["/v1/explain"]["get"]["parameters"]} >= {"in", "src", "dst", "dport", "local", "o"}
