"""Bodies of requests: read whole, but no more and no longer than an honest client needs, and only when they are strict JSON.

Read here, before any route sees them, so that no route can forget it.
"""

import asyncio
import json
from http import HTTPStatus
from typing import Any

from starlette.datastructures import Headers
from starlette.types import Message, Receive

from agent.api.problems import ProblemError

LIMIT = 64 * 1024
SECONDS = 10.0
# A plan has three levels. Far below what the parser's own recursion bears.
_DEPTH = 32
_READING = ("GET", "HEAD", "OPTIONS")


class ClientGoneError(Exception):
    """The client hung up before its body was complete: there is nobody to answer."""


def has_body(headers: Headers) -> bool:
    """Whether a body follows (RFC 9112 section 6.3)."""
    return "transfer-encoding" in headers or headers.get("content-length", "0").strip("0 ") != ""


def check_head(method: str, headers: Headers) -> None:
    """Refuses, before anything is read, bodies that are no JSON, are too large, or whose length is told in two ways.

    Raises `ProblemError`. A request without a body that claims another kind of content is refused too: that is what the forms
    of web pages send.
    """
    if "transfer-encoding" in headers and "content-length" in headers:
        detail = "Transfer-Encoding and Content-Length contradict each other: send one of them."
        raise ProblemError(HTTPStatus.BAD_REQUEST, "The request is not understood", detail, {"Connection": "close"})
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if (has_body(headers) or (kind and method not in _READING)) and kind != "application/json":
        detail = "Send JSON, with the header Content-Type: application/json."
        raise ProblemError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "JSON only", detail)
    length = headers.get("content-length", "0")
    if length.isdecimal() and (len(length) > len(str(LIMIT)) or int(length) > LIMIT):
        raise _too_large()
    if "content-encoding" in headers and has_body(headers):
        raise ProblemError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "JSON only", "Send the JSON as it is, without Content-Encoding.")


async def read(receive: Receive) -> bytes:
    """The whole body. Raises `ProblemError` (408, 413) and `ClientGoneError`."""
    body = bytearray()
    try:
        async with asyncio.timeout(SECONDS):
            while True:
                message = await receive()
                if message["type"] != "http.request":
                    raise ClientGoneError
                body += message.get("body", b"")
                if len(body) > LIMIT:
                    raise _too_large()
                if not message.get("more_body", False):
                    return bytes(body)
    except TimeoutError:
        detail = f"The body did not arrive within {SECONDS:g} s."
        raise ProblemError(HTTPStatus.REQUEST_TIMEOUT, "Too slow", detail) from None


def check_json(body: bytes) -> None:
    """Refuses what JSON parsers understand differently: NaN, doubled keys, NUL, great depth. Raises `ProblemError`."""
    try:
        text = body.decode("utf-8")
        value = json.loads(text, parse_constant=_no_constant, object_pairs_hook=_once)
        _check(value, _DEPTH)
    except (ValueError, RecursionError) as error:
        said = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        detail = f"The body is no JSON that kubereach takes: {said}."
        raise ProblemError(HTTPStatus.BAD_REQUEST, "The body is not understood", detail) from None


def given(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives the body that was read, and then what comes after it: the client's leaving."""
    pending = [body]

    async def replay() -> Message:
        if pending:
            return {"type": "http.request", "body": pending.pop(), "more_body": False}
        return await receive()

    return replay


def _too_large() -> ProblemError:
    detail = f"A body of more than {LIMIT // 1024} KiB is not read: no request of this API is that large."
    return ProblemError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "Too large", detail)


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return found


def _check(value: Any, depth: int) -> None:
    if depth == 0:
        raise ValueError("it is nested too deeply")
    if isinstance(value, dict):
        for key, item in value.items():
            _check(key, depth)
            _check(item, depth - 1)
    elif isinstance(value, list):
        for item in value:
            _check(item, depth - 1)
    elif isinstance(value, str) and any(ch == "\0" or "\ud800" <= ch <= "\udfff" for ch in value):
        raise ValueError("a string holds NUL or half a character")
    elif isinstance(value, float) and value in (float("inf"), float("-inf")):
        raise ValueError("a number is too large")
