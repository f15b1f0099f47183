"""Every error as RFC 9457 problem details: a title, and a sentence that says what to do. Never a trace."""

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from agent.service.host import BrokerGone, FixRefused, HostError
from agent.service.question import BadQuestionError

MEDIA_TYPE = "application/problem+json"
HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}

# By `agent.host.operations.REFUSALS`.
_REFUSALS = {
    "guard": (HTTPStatus.FORBIDDEN, "Refused by a guard"),
    "changed": (HTTPStatus.CONFLICT, "The rules changed"),
    "lock-busy": (HTTPStatus.LOCKED, "Another program holds the lock"),
    "no-disk": (HTTPStatus.INSUFFICIENT_STORAGE, "It cannot be written down"),
    "no-lease": (HTTPStatus.NOT_IMPLEMENTED, "The kernel cannot end it"),
    "no-such-fix": (HTTPStatus.NOT_FOUND, "Not found"),
    "no-tool": (HTTPStatus.NOT_IMPLEMENTED, "iptables cannot do it here"),
}


class ProblemError(Exception):
    """Raised by a route that must answer with a problem."""

    def __init__(self, status: HTTPStatus, title: str, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status, self.title, self.detail, self.headers = status, title, detail, dict(headers or {})


def problem(
    status: int, title: str, detail: str, *, headers: Mapping[str, str] | None = None, more: Mapping[str, Any] | None = None
) -> Response:
    """The response. `about:blank` as type: the status says what kind it is, title and detail are for people."""
    body = {"type": "about:blank", "title": title, "status": int(status), "detail": detail, **(more or {})}
    content = json.dumps(body, indent=2) + "\n"
    return Response(content, status_code=int(status), media_type=MEDIA_TYPE, headers={**HEADERS, **(headers or {})})


def install(app: FastAPI) -> None:
    """Makes the application answer every error this way."""
    app.add_exception_handler(ProblemError, _raised)
    app.add_exception_handler(BadQuestionError, _bad_question)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(FixRefused, _refused)
    app.add_exception_handler(HostError, _host)
    app.add_exception_handler(Exception, _unexpected)


def _raised(_request: Request, error: Exception) -> Response:
    if not isinstance(error, ProblemError):
        raise error
    return raised(error)


def raised(error: ProblemError, more: Mapping[str, str] | None = None) -> Response:
    """The response to an error that was raised, with `more` headers."""
    return problem(error.status, error.title, error.detail, headers={**error.headers, **(more or {})})


def _bad_question(_request: Request, error: Exception) -> Response:
    return problem(HTTPStatus.UNPROCESSABLE_ENTITY, "The packet is not understood", str(error))


def _invalid(_request: Request, error: Exception) -> Response:
    found = error.errors() if isinstance(error, RequestValidationError) else []
    sentences = [f"{item['loc'][-1]}: {item['msg']}." for item in found]
    return problem(HTTPStatus.UNPROCESSABLE_ENTITY, "The request is not understood", " ".join(sentences))


def _http(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    path = request.url.path
    if error.status_code == HTTPStatus.NOT_FOUND:
        return problem(error.status_code, "Not found", f"There is nothing at {path}; /openapi.json lists what there is.")
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        allowed = (error.headers or {}).get("Allow", "another method")
        detail = f"{request.method} is not possible on {path}: use {allowed}."
        return problem(error.status_code, "Method not allowed", detail, headers=error.headers)
    return problem(error.status_code, HTTPStatus(error.status_code).phrase, str(error.detail), headers=error.headers)


def _refused(_request: Request, error: Exception) -> Response:
    """A fix that a guard, the rules, a lock or the disk is against. Nothing was changed, or it was changed back."""
    if not isinstance(error, FixRefused):
        raise error
    status, title = _REFUSALS[error.kind]
    more = {"kind": error.kind, **({"difference": list(error.difference)} if error.difference else {})}
    return problem(status, title, str(error), more=more)


def _host(_request: Request, error: Exception) -> Response:
    if isinstance(error, BrokerGone):
        detail = f"{error}. It is started again by itself, and what was seen before is kept: ask again in a second."
        return problem(HTTPStatus.SERVICE_UNAVAILABLE, "Degraded: the broker is gone", detail, headers={"Retry-After": "1"})
    detail = f"{error} GET /readyz?verbose says what this process may see."
    return problem(HTTPStatus.SERVICE_UNAVAILABLE, "The node could not be read", detail)


def _unexpected(_request: Request, error: Exception) -> Response:
    detail = (
        f"This is a bug in kubereach ({type(error).__name__}); its log has the trace. Please report it with `kubereach bundle`."
    )
    return problem(HTTPStatus.INTERNAL_SERVER_ERROR, "Something unexpected happened", detail)
