"""Hostile clients: slow, many, large. Good clients are answered meanwhile, and the memory stays where it was."""

import contextlib
import http.client
import json
import os
import random
import resource
import socket
import ssl
import time
import zlib

import pytest

from tests.lab.staged import await_that
from tests.service.running import BEARER, serving

MIB = 1024 * 1024
BODY = b"POST /v1/diagnoses HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{"
SLOW = 2000
CONTEXT = ssl._create_unverified_context()
# Sent without TLS, even where that is spoken.
RAW = (b"", b"noise")
# Bodies that are tried here; `make hostile` tries a hundred thousand.
BODIES = int(os.environ.get("KUBEREACH_BODIES", "300"))
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module", params=["tls", "insecure-loopback"])
def service(request, tmp_path_factory):
    with serving(tmp_path_factory.mktemp("floods"), "healthy", insecure=request.param == "insecure-loopback") as running:
        with running.client() as client:  # whatever is imported late is imported now
            client.get("/v1/report").raise_for_status()
            client.post("/v1/diagnoses", content="{}", headers=JSON).raise_for_status()
        yield running


@pytest.fixture
def many_files():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, SLOW + 1000), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def slow_connections(service, sent):
    for _ in range(SLOW):
        sock = socket.create_connection(("127.0.0.1", service.port), 10)
        with contextlib.suppress(ConnectionError, ssl.SSLError):  # displaced already
            if service.scheme == "https" and sent not in RAW:
                sock = CONTEXT.wrap_socket(sock)
            sock.sendall(sent)
        sock.setblocking(False)
        yield sock


def is_closed(sock):
    try:
        while sock.recv(4096):
            pass
    except (BlockingIOError, ssl.SSLWantReadError):
        return False
    except (ConnectionError, ssl.SSLError):
        return True
    return True


@pytest.mark.parametrize(
    "sent",
    [*RAW, b"GET / HTTP/1.1\r\nHost: localh", BODY],
    ids=["nothing", "noise", "headers", "body"],
)
def test_two_thousand_slow_connections_displace_each_other_and_not_good_clients(service, many_files, sent):
    before, peak, times = service.resident(), 0, []
    with contextlib.ExitStack() as stack:
        slow = []
        for number, sock in enumerate(slow_connections(service, sent)):
            slow.append(stack.enter_context(sock))
            if number % 50 == 0:
                start = time.perf_counter()
                with service.client() as client:
                    assert client.get("/v1/schemas").status_code == 200
                times.append(time.perf_counter() - start)
                peak = max(peak, service.resident())
        await_that(lambda: all(map(is_closed, slow)), "slow connections are still open")
    times.sort()
    median, worst = times[len(times) // 2] * 1e3, times[-1] * 1e3
    print(f"memory +{(peak - before) / MIB:.1f} MiB; good clients: median {median:.1f} ms, slowest {worst:.1f} ms")
    assert peak - before <= 10 * MIB


def connect(service):
    if service.scheme == "http":
        return http.client.HTTPConnection("127.0.0.1", service.port, timeout=20)
    return http.client.HTTPSConnection("127.0.0.1", service.port, timeout=20, context=CONTEXT)


@pytest.mark.parametrize("way", ["length", "chunked"])
def test_two_hundred_mebibytes_are_not_read(service, way):
    before, connection = service.resident(), connect(service)
    connection.putrequest("POST", "/v1/diagnoses")
    for name, value in {
        **JSON,
        **BEARER,
        **({"Content-Length": str(200 * MIB)} if way == "length" else {"Transfer-Encoding": "chunked"}),
    }.items():
        connection.putheader(name, value)
    connection.endheaders()
    block, sent = b" " * MIB, 0
    with contextlib.suppress(ConnectionError, ssl.SSLError, TimeoutError):
        for _ in range(200):
            connection.send(block if way == "length" else b"100000\r\n" + block + b"\r\n")
            sent += 1
    with contextlib.suppress(ConnectionError, ssl.SSLError, http.client.HTTPException):
        assert connection.getresponse().status == 413
    connection.close()
    assert sent < 200
    assert service.resident() - before <= 10 * MIB


def test_what_is_too_large_is_told_so(service):
    with service.client() as client:
        answer = client.post("/v1/diagnoses", content=b'"' + b"x" * 65536 + b'"', headers=JSON)
        assert answer.status_code == 413
        bomb = zlib.compress(b" " * MIB)
        headers = {**JSON, "Content-Encoding": "deflate"}
        assert client.post("/v1/diagnoses", content=bomb, headers=headers).status_code == 415


def raw(service, text):
    """What comes back for exactly these bytes, until the other end hangs up or is silent."""
    with socket.create_connection(("127.0.0.1", service.port), 5) as plain, contextlib.ExitStack() as stack:
        sock = plain if service.scheme == "http" else stack.enter_context(CONTEXT.wrap_socket(plain))
        received = b""
        # Who is hung up on while still sending hears of it as a reset, and under TLS as an end without a farewell.
        with contextlib.suppress(TimeoutError, ConnectionError, ssl.SSLEOFError):
            sock.sendall(text)
            while part := sock.recv(65536):
                received += part
        return received


HEAD = f"Host: localhost\r\nAuthorization: {BEARER['Authorization']}\r\n".encode()
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.mark.parametrize(
    "text",
    [
        b"POST /v1/diagnoses HTTP/1.1\r\n"
        + HEAD
        + b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n"
        + SMUGGLED,
        b"POST /v1/diagnoses HTTP/1.1\r\n" + HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n{}   " + SMUGGLED,
        b"POST /v1/diagnoses HTTP/1.1\r\n"
        + HEAD
        + b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n"
        + SMUGGLED,
        b"POST /v1/diagnoses HTTP/1.1\r\n" + HEAD + b"Transfer-Encoding: xchunked\r\n\r\n" + SMUGGLED,
        b"GET http://evil.example/v1/report HTTP/1.1\r\n" + HEAD + b"Connection: close\r\n\r\n",
        b"GET /v1/report HTTP/1.1\r\n" + HEAD + b"X: a\r\n b\x00\r\n\r\n",
        b"GET /v1/report HTTP/1.1\r\n" + HEAD + b"X-Long: " + b"x" * 70000 + b"\r\n\r\n",
        b"\x16\x03\x01 this is no HTTP\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
    ids=["TE and CL", "two CL", "bad chunk", "unknown TE", "absolute", "NUL", "long header", "no HTTP", "h2"],
)
def test_what_is_no_plain_http_is_a_400_and_the_end(service, text):
    received = raw(service, text)
    if received:  # a header that is too long may be cut off while it is sent
        assert received.split(b" ")[1] in (b"400", b"431", b"501"), received[:300]
        assert b"application/problem+json" in received
        assert received.count(b"\r\ncontent-type: application/problem+json") == 1


def test_an_upgrade_is_not_followed(service):
    for protocol in (b"h2c", b"websocket"):
        text = (
            b"GET /v1/schemas HTTP/1.1\r\n"
            + HEAD
            + b"Connection: Upgrade, close\r\nUpgrade: "
            + protocol
            + b"\r\nHTTP2-Settings: AAAA\r\n\r\n"
        )
        assert raw(service, text).startswith(b"HTTP/1.1 200")


SEEDS = (
    "{}",
    "[]",
    "NaN",
    '{"a":1,"a":2}',
    '{"a":"\\u0000"}',
    "[" * 60000,
    '{"a":' * 10000,
    '"\\ud800"',
    "1e999",
    "-",
    "",
    "nul",
    "\ufeff{}",
)


def bodies(count):
    """Bodies of all kinds: chosen ones, and what chance makes of them."""
    dice = random.Random(f"bodies {count}")
    for number in range(count):
        body = bytearray(dice.choice(SEEDS).encode("utf-8", "surrogatepass"))
        for _ in range(dice.randrange(4) if number >= len(SEEDS) else 0):
            place = dice.randrange(len(body) + 1)
            body[place : place + dice.randrange(3)] = dice.randbytes(dice.randrange(5))
        yield bytes(body)


def test_no_body_whatever_is_a_5xx(service):
    """Not even where nothing reads it: routes with a body have it checked before they see it."""
    with service.client() as client:
        before = service.resident()
        for number, body in enumerate(bodies(BODIES)):
            method, path = (
                ("POST", "/v1/diagnoses"),
                ("POST", "/v1/schemas"),
                ("DELETE", "/v1/fixes/x"),
                ("POST", "/v1/plans"),
            )[number % 4]
            answer = client.request(method, path, content=body, headers=JSON)
            assert answer.status_code < 500, (method, path, body[:200], answer.text)
            if answer.status_code == 400:
                assert json.loads(answer.text)["status"] == 400
        assert service.resident() - before <= 10 * MIB
