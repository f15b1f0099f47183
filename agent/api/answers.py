"""How an answer looks: JSON for programs, text for curl, the same text in a page for a browser."""

from collections import Counter
from collections.abc import Callable
from html import escape
from http import HTTPStatus
from typing import Any, Literal

from fastapi import Request
from fastapi.responses import HTMLResponse, PlainTextResponse, Response

from agent.api.problems import ProblemError
from agent.render.data import as_json

# The value of `?o=`.
Form = Literal["text", "json"]

# The page holds no script, style sheet or picture, and may load none.
_PAGE_HEADERS = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title>
<style>:root {{ color-scheme: light dark }} pre {{ margin: 2rem; font: 0.9rem/1.4 monospace; white-space: pre-wrap }}</style>
</head><body><pre>{text}</pre></body></html>
"""


def json_answer(value: Any, status: int = HTTPStatus.OK, **headers: str) -> Response:
    """A model value, or plain data, by the codec."""
    return Response(as_json(value), status_code=int(status), media_type="application/json", headers=headers)


def text_answer(text: str, status: int = HTTPStatus.OK, **headers: str) -> Response:
    """Text as a renderer wrote it."""
    return PlainTextResponse(text, status_code=int(status), headers=headers)


def page_answer(text: str, title: str) -> Response:
    """Text in a page."""
    return HTMLResponse(_PAGE.format(title=escape(title), text=escape(text)), headers=_PAGE_HEADERS)


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
