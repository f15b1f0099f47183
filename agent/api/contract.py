"""The OpenAPI document beyond what the routes' types say: every answer with its schema and an example, and every error.

Routes write model values by the codec and not by FastAPI's models, so what they answer is described here, from the same model.
"""

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from agent.api.permissions import TABLE, Cost
from agent.api.problems import MEDIA_TYPE as PROBLEM
from agent.api.schemas import MEDIA_TYPE as JSON_SCHEMA
from agent.model.capture import Capture
from agent.model.explanation import Explanation
from agent.model.fix import Fix, Fixes
from agent.model.plan import Plan
from agent.model.reach import Reach
from agent.model.report import Report
from agent.model.schema import components
from agent.render.metrics import CONTENT_TYPE as EXPOSITION
from agent.service.input_path import InputPath

_TEXT, _JSON, _HTML = "text/plain; charset=utf-8", "application/json", "text/html; charset=utf-8"
_EVENTS = "text/event-stream"
_ID = "3f9c2a71d0be"
_SUMMARY = "Pods cannot reach this node's kubelet at 172.31.16.124:10250: rule 6 of filter INPUT (iptables-nft) answers."
_ENTRY = {
    "schema": "kubereach.dev/diagnosis/v1",
    "id": _ID,
    "state": "done",
    "asked_at": "2026-01-31T12:00:00.000Z",
    "ended_at": "2026-01-31T12:00:00.120Z",
    "error": "",
    "answer": "blocked",
    "summary": _SUMMARY,
}
_REPORT: dict[str, Any] = {
    "schema": "kubereach.dev/report/v1",
    "node": "k8s-worker1",
    "state": "blocked",
    "summary": _SUMMARY,
    "taken_at": "2026-01-31T12:00:00.000Z",
    "version": "0.1.0",
    "findings": [],
    "probes": [],
    "explanation": None,
    "why_only_this_node": "",
    "disagreements": [],
    "excluded": [],
    "facts": [],
    "problems": [],
    "seconds": {"total": 0.12},
}
# One event of the stream, as OpenAPI 3.1 tools take it; `data` is JSON in itself: a stage, or at the end the diagnosis.
_EVENT: dict[str, Any] = {
    "schema": {
        "type": "object",
        "required": ["event", "data"],
        "properties": {
            "event": {"enum": ["stage", "done", "failed"]},
            "data": {"type": "string", "contentMediaType": _JSON},
        },
    },
    "example": {"event": "stage", "data": '{"name": "node", "seconds": 0.031}'},
}
_NULLABLE_TEXT = {"anyOf": [{"type": "null"}, {"type": "string"}]}
# What the routes put together themselves.
_OWN: dict[str, Any] = {
    "Problem": {
        "type": "object",
        "description": "RFC 9457 problem details; `detail` is a sentence that says what to do.",
        "properties": {
            "type": {"type": "string"},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "detail": {"type": "string"},
        },
        "required": ["type", "title", "status", "detail"],
    },
    "Diagnosis": {
        "type": "object",
        "description": "One run. `state` is the run's, `answer` the report's; `report` only where one diagnosis was asked for.",
        "properties": {
            "schema": {"const": "kubereach.dev/diagnosis/v1"},
            "id": {"type": "string"},
            "state": {"enum": ["queued", "running", "done", "failed"]},
            "asked_at": {"type": "string"},
            "ended_at": _NULLABLE_TEXT,
            "error": {"type": "string"},
            "answer": _NULLABLE_TEXT,
            "summary": _NULLABLE_TEXT,
            "report": {"anyOf": [{"type": "null"}, {"$ref": "#/components/schemas/Report"}]},
        },
        "required": ["schema", "id", "state", "asked_at", "ended_at", "error", "answer", "summary"],
    },
    "Diagnoses": {
        "type": "object",
        "properties": {
            "schema": {"const": "kubereach.dev/diagnosis/v1"},
            "items": {"type": "array", "items": {"$ref": "#/components/schemas/Diagnosis"}},
        },
        "required": ["schema", "items"],
    },
    "Schemas": {
        "type": "object",
        "properties": {"items": {"type": "array", "items": {"type": "string"}}},
        "required": ["items"],
    },
}


def _ref(name: str, example: Any = None) -> dict[str, Any]:
    return {"schema": {"$ref": f"#/components/schemas/{name}"}} | ({} if example is None else {"example": example})


def _text(example: str) -> dict[str, Any]:
    return {"schema": {"type": "string"}, "example": example}


_PAGE = f"k8s-worker1: BLOCKED. {_SUMMARY}\n"
# What each route answers where nothing went wrong, by status; 503 of the verdict is an answer, too.
ANSWERS: dict[tuple[str, str], dict[int, dict[str, Any]]] = {
    ("get", "/"): {
        200: {_TEXT: _text(_PAGE), _JSON: _ref("Report", _REPORT), _HTML: _text("<!doctype html>...")},
        401: {_HTML: _text("<!doctype html>...")},
    },
    ("get", "/v1/report"): {200: {_JSON: _ref("Report", _REPORT), _TEXT: _text(_PAGE)}},
    ("get", "/v1/verdict"): {200: {_TEXT: _text("k8s-worker1: REACHABLE\n")}, 503: {_TEXT: _text(_PAGE)}},
    ("get", "/v1/reach"): {200: {_JSON: _ref("Reach")}},
    ("get", "/v1/capture"): {200: {_JSON: _ref("Capture")}},
    ("get", "/v1/firewall"): {200: {_JSON: _ref("InputPath"), _TEXT: _text("filter INPUT (iptables-nft), policy accept\n")}},
    ("get", "/v1/explain"): {200: {_JSON: _ref("Explanation"), _TEXT: _text("REJECT with icmp-host-prohibited\n")}},
    ("get", "/v1/diagnoses"): {200: {_JSON: _ref("Diagnoses", {"schema": _ENTRY["schema"], "items": [_ENTRY]})}},
    ("post", "/v1/diagnoses"): {
        201: {_JSON: _ref("Diagnosis", {**_ENTRY, "report": _REPORT}), _TEXT: _text(_PAGE)},
        202: {_JSON: _ref("Diagnosis", {**_ENTRY, "state": "queued", "ended_at": None, "answer": None, "summary": None})},
    },
    ("get", "/v1/diagnoses/{diagnosis_id}"): {
        200: {_JSON: _ref("Diagnosis", {**_ENTRY, "report": _REPORT}), _TEXT: _text(_PAGE)}
    },
    ("get", "/v1/diagnoses/{diagnosis_id}/events"): {200: {_EVENTS: _EVENT}},
    ("post", "/v1/plans"): {201: {_JSON: _ref("Plan"), _TEXT: _text("-I INPUT 6 -s 10.244.4.0/24 ... -j ACCEPT\n")}},
    ("get", "/v1/plans/{plan_id}"): {200: {_JSON: _ref("Plan"), _TEXT: _text("-I INPUT 6 -s 10.244.4.0/24 ... -j ACCEPT\n")}},
    ("get", "/v1/fixes"): {200: {_JSON: _ref("Fixes"), _TEXT: _text("no fixes\n")}},
    ("post", "/v1/fixes"): {201: {_JSON: _ref("Fix")}, 200: {_JSON: _ref("Fix")}},
    ("get", "/v1/fixes/{fix_id}"): {200: {_JSON: _ref("Fix")}},
    ("post", "/v1/fixes/{fix_id}/confirm"): {200: {_JSON: _ref("Fix")}},
    ("delete", "/v1/fixes/{fix_id}"): {200: {_JSON: _ref("Fix")}},
    ("get", "/v1/schemas"): {200: {_JSON: _ref("Schemas", {"items": ["/v1/schemas/report-v1"]})}},
    ("get", "/v1/schemas/{name}"): {200: {JSON_SCHEMA: {"schema": {"type": "object"}}}},
    ("get", "/livez"): {200: {_TEXT: _text("ok\n")}},
    ("get", "/readyz"): {200: {_TEXT: _text("ok\n")}, 503: {_TEXT: _text("not ready\n")}},
    ("get", "/metrics"): {200: {EXPOSITION: _text('kubereach_state{node="k8s-worker1",state="blocked"} 1.0\n')}},
}
# Every error, with the sentence of an example.
ERRORS: dict[HTTPStatus, tuple[str, str]] = {
    HTTPStatus.BAD_REQUEST: ("The body is not understood", "The body is no JSON that kubereach takes: a key stands twice."),
    HTTPStatus.UNAUTHORIZED: ("Who is asking?", "Send one header Authorization: Bearer with a token."),
    HTTPStatus.FORBIDDEN: ("Not allowed", "jane may not create diagnoses.kubereach.dev: a ClusterRole must allow it."),
    HTTPStatus.NOT_FOUND: ("Not found", "There is no such diagnosis, or it is forgotten."),
    HTTPStatus.METHOD_NOT_ALLOWED: ("Method not allowed", "PUT is not possible on /v1/report: use GET."),
    HTTPStatus.REQUEST_TIMEOUT: ("Too slow", "The body did not arrive within 10 s."),
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: ("Too large", "A body of more than 64 KiB is not read."),
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: ("JSON only", "Send JSON, with the header Content-Type: application/json."),
    HTTPStatus.MISDIRECTED_REQUEST: ("Wrong host", "The Host header does not name this node."),
    HTTPStatus.UNPROCESSABLE_ENTITY: ("The packet is not understood", "src 'x' is no IP address."),
    HTTPStatus.TOO_MANY_REQUESTS: ("Too many requests", "The node was made to look too often: try again in 2 s."),
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: ("Too large", "Headers of more than 16 KiB are not looked at."),
    HTTPStatus.INTERNAL_SERVER_ERROR: ("Something unexpected happened", "This is a bug in kubereach; its log has the trace."),
    HTTPStatus.SERVICE_UNAVAILABLE: ("The node could not be read", "The broker did not answer."),
}
# Only where something is changed: refusals of a guard, of other programs, of the disk or the kernel (agent.api.problems).
_FIX_ERRORS: dict[HTTPStatus, tuple[str, str]] = {
    HTTPStatus.CONFLICT: ("The rules changed", "The chain is not any more what the plan rests on: make a new one."),
    HTTPStatus.LOCKED: ("Another program holds the lock", "The xtables lock is held: try again."),
    HTTPStatus.NOT_IMPLEMENTED: ("The kernel cannot end it", "This kernel lacks the match that ends the rule in time."),
    HTTPStatus.INSUFFICIENT_STORAGE: ("It cannot be written down", "The journal could not be written."),
}
_OPEN_ERRORS = {
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    HTTPStatus.FORBIDDEN,
    HTTPStatus.METHOD_NOT_ALLOWED,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
}
_RETRY = {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}}}


def describe(app: FastAPI) -> None:
    """Has the application tell all of this at `/openapi.json`."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app)
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]  # as FastAPI documents it


def _document(app: FastAPI) -> dict[str, Any]:
    found = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
    parts = found.setdefault("components", {})
    model = components(Report, Reach, Capture, Explanation, InputPath, Plan, Fix, Fixes)
    parts["schemas"] = {**parts.get("schemas", {}), **model, **_OWN}
    for name in ("HTTPValidationError", "ValidationError"):
        parts["schemas"].pop(name, None)  # our 422 is a problem like all others
    parts["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer", "description": "Not asked over the Unix socket."}
    }
    for path, operations in found["paths"].items():
        for method, operation in operations.items():
            _complete(method, path, operation)
    return found


def _complete(method: str, path: str, operation: dict[str, Any]) -> None:
    row = TABLE.get((method.upper(), path))
    responses = operation.setdefault("responses", {})
    for status, content in ANSWERS.get((method, path), {}).items():
        responses[str(status)] = {"description": HTTPStatus(status).phrase, "content": dict(content)}
    is_open = row is not None and row.action is None
    if not is_open:
        operation["security"] = [{"bearer": []}]
    more = _FIX_ERRORS if path.startswith(("/v1/plans", "/v1/fixes")) else {}
    for status, (title, detail) in {**ERRORS, **more}.items():
        if path == "/livez" and status not in _OPEN_ERRORS:
            continue
        told = responses.setdefault(str(int(status)), {"description": status.phrase, "content": {}})
        told.setdefault("content", {}).pop(_JSON, None) if status == HTTPStatus.UNPROCESSABLE_ENTITY else None
        problem = {"type": "about:blank", "title": title, "status": int(status), "detail": detail}
        told["content"][PROBLEM] = _ref("Problem", problem)
        if status == HTTPStatus.TOO_MANY_REQUESTS:
            told["headers"] = _RETRY
    if row is not None and row.action is not None:
        cost = "" if row.cost is Cost.NOTHING else f" Limited as a {row.cost.value}."
        operation["description"] = f"{operation.get('description', '')}\n\nAsks for `{row.action}`.{cost}".strip()
