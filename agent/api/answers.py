"""How an answer looks: JSON for programs, text for curl, a page for a browser."""

from collections import Counter
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Literal

from fastapi import Request
from fastapi.responses import HTMLResponse, PlainTextResponse, Response

from agent.api.problems import ProblemError
from agent.render.data import as_json
from agent.render.page import POLICY, lock

# The value of `?o=`.
Form = Literal["text", "json"]


def json_answer(value: Any, status: int = HTTPStatus.OK, **headers: str) -> Response:
    """A model value, or plain data, by the codec."""
    return Response(as_json(value), status_code=int(status), media_type="application/json", headers=headers)


def text_answer(text: str, status: int = HTTPStatus.OK, **headers: str) -> Response:
    """Text as a renderer wrote it."""
    return PlainTextResponse(text, status_code=int(status), headers=headers)


def page_answer(document: str) -> Response:
    """The page, which may load and run nothing but itself."""
    return HTMLResponse(document, headers={"Content-Security-Policy": POLICY})


def locked_answer(error: ProblemError) -> Response:
    """The same 401 for a browser: a page that asks for a token."""
    return HTMLResponse(lock(error.detail), int(error.status), {"Content-Security-Policy": POLICY, **error.headers})


def only(*names: str, many: str = "") -> Callable[[Request], None]:
    """A dependency that refuses query parameters a route does not have, and a second value for all but `many`.

    A misspelt `dprot` that is ignored would be answered with another packet's fate.
    """

    def check(request: Request) -> None:
        for name, count in Counter(name for name, _ in request.query_params.multi_items()).items():
            if name not in names:
                known = f"it knows {', '.join(names)}" if names else "it has none"
                detail = f"{request.url.path} has no query parameter {name}: {known}."
                raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, "The request is not understood", detail)
            if count > 1 and name != many:
                detail = f"The query parameter {name} is given {count} times: give it once."
                raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, "The request is not understood", detail)

    return check
