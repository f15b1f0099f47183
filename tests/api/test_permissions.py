"""The authorisation table holds every route there is."""

import pytest
from fastapi.routing import iter_route_contexts

from agent.api.permissions import TABLE, find, holds
from agent.model.access import CREATE_DIAGNOSES, CREATE_FIXES, DELETE_FIXES, GET_DIAGNOSES


def routes(app):
    return {(method, context.path) for context in iter_route_contexts(app.routes) for method in context.methods or ()}


def test_every_route_of_the_application_is_in_the_table(served):
    found = routes(served.app)
    assert len(found) >= 15
    assert [route for route in found if not holds(*route)] == []


def test_the_documents_routes_are_the_same(served):
    document = served.app.openapi()["paths"]
    assert [(m, p) for p, operations in document.items() for m in operations if not holds(m.upper(), p)] == []


def test_a_route_that_was_forgotten_is_answered_to_nobody(served):
    served.app.get("/v1/forgotten")(lambda: "secret")
    answer = served.client.get("/v1/forgotten")
    assert answer.status_code == 404
    assert "secret" not in answer.text


def test_only_a_kubelets_questions_are_open():
    assert {path for (_, path), row in TABLE.items() if row.action is None} == {"/livez", "/readyz"}


def test_reading_and_writing_are_different_actions():
    for (method, path), row in TABLE.items():
        if row.action is not None:
            assert (row.action.verb == "get") == (method in ("GET", "HEAD")), path


@pytest.mark.parametrize(
    ("method", "path", "action"),
    [
        ("GET", "/v1/diagnoses/abc", GET_DIAGNOSES),
        ("POST", "/v1/diagnoses", CREATE_DIAGNOSES),
        ("POST", "/v1/fixes/abc/confirm", CREATE_FIXES),
        ("DELETE", "/v1/fixes/abc", DELETE_FIXES),
    ],
)
def test_a_request_finds_its_row(method, path, action):
    row = find(method, path).row
    assert row is not None
    assert row.action == action


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/diagnoses/"),
        ("GET", "//v1/report"),
        ("GET", "/v1/fixes/a/b/confirm"),
        ("GET", "/V1/report"),
        ("GET", "/v1/report\n"),
        ("GET", "/livez/"),
        ("POST", "/livez"),
        ("get", "/livez"),
        ("DELETE", "/v1/fixes"),
        ("CONNECT", "/"),
    ],
)
def test_others_find_none(method, path):
    assert find(method, path).row is None


def test_details_of_readiness_are_not_open():
    assert find("GET", "/readyz").row.action is None
    assert find("GET", "/readyz", verbose=True).row.action == GET_DIAGNOSES


@pytest.mark.parametrize("query", ["verbose", "verbose=1", "a=b&verbose", "%76erbose"])
def test_no_spelling_of_verbose_tells_a_stranger_more(stranger, query):
    answer = stranger.client.get(f"/readyz?{query}")
    assert answer.status_code == 401 or answer.text in ("ok\n", "not ready\n") or answer.status_code == 422
    assert "CAP_NET_ADMIN" not in answer.text
