import socket
import ssl
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cache
from ipaddress import ip_address

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from agent.host import certificate, handshake
from agent.model.probe import Tls


@cache
def made(issuer: str = "node") -> tuple[bytes, bytes, bytes]:
    """A certificate for `node`: its DER, its PEM, its key's PEM."""
    key, other = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    names = [x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]) for name in ("node", issuer)]
    now = datetime.now(UTC)
    sans = x509.SubjectAlternativeName([x509.DNSName("node"), x509.IPAddress(ip_address("10.0.0.1"))])
    built = x509.CertificateBuilder(names[1], names[0], key.public_key(), x509.random_serial_number(), now, now + timedelta(1))
    signed = built.add_extension(sans, critical=False).sign(key if issuer == "node" else other, hashes.SHA256())
    form = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    encoding = serialization.Encoding
    return signed.public_bytes(encoding.DER), signed.public_bytes(encoding.PEM), key.private_bytes(encoding.PEM, *form)


@contextmanager
def serving(answer: Callable[[ssl.SSLSocket], None]) -> Iterator[int]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile() as file:
        file.write(made()[1] + made()[2])
        file.flush()
        context.load_cert_chain(file.name)

    def serve(server: socket.socket) -> None:
        with server.accept()[0] as connection, context.wrap_socket(connection, server_side=True) as secure:
            secure.settimeout(5)
            secure.recv(4096)
            answer(secure)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve, args=(server,))
        thread.start()
        yield server.getsockname()[1]
        thread.join()


def shake(answer: Callable[[ssl.SSLSocket], None], timeout: float = 2.0) -> Tls:
    with serving(answer) as port, socket.create_connection(("127.0.0.1", port)) as sock:
        return handshake.shake(sock, "127.0.0.1", port, timeout)


def test_a_kubelets_401_with_its_certificate() -> None:
    tls = shake(lambda secure: secure.sendall(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 12\r\n\r\nUnauthorized"))
    assert (tls.ok, tls.http_status, tls.http_error, tls.error) == (True, 401, "", "")
    assert (tls.subject, tls.sans, tls.self_signed) == ("CN=node", ("DNS:node", "IP:10.0.0.1"), True)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"", "closed the connection"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "no HTTP status line"),
        (b"HTTP/1.1 999999 no\r\n", "no HTTP status line"),
        (b"HTTP/1.1 2\xff0 OK\r\n", "no HTTP status line"),
        (b"x" * 10_000, "no HTTP status line"),
    ],
)
def test_an_answer_that_is_not_http(answer: bytes, why: str) -> None:
    def send(secure: ssl.SSLSocket) -> None:
        try:
            secure.sendall(answer)
        except OSError:  # we do not read to the end, on purpose
            return

    tls = shake(send)
    assert tls.ok
    assert tls.http_status is None
    assert why in tls.http_error


def test_an_answer_that_trickles_ends_at_the_deadline() -> None:
    def trickle(secure: ssl.SSLSocket) -> None:
        try:
            for _ in range(50):
                secure.sendall(b"x")
                pause.wait(0.05)
        except OSError:
            return

    pause = threading.Event()
    tls = shake(trickle, timeout=0.3)
    assert tls.http_error == "no answer in time"
    assert tls.seconds < 1.0


def test_a_certificate_of_another_issuer_is_not_self_signed() -> None:
    assert certificate.describe(made("node-ca@1700000000")[0]).self_signed is False


def test_what_is_no_certificate_is_a_value_error() -> None:
    with pytest.raises(ValueError):  # noqa: PT011  the library's own words
        certificate.describe(b"\x30\x00")
