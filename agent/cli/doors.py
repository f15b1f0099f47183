"""The sockets that `serve` opens before it gives them away, and the secrets that go with them."""

import contextlib
import fcntl
import json
import os
import socket
import ssl
import stat
from hashlib import sha256
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

import typer

from agent.cli.failures import UnreadableError
from agent.model.access import Secrets
from agent.model.codec import to_plain

# Connections that wait to be accepted.
_BACKLOG = 256
# 128 bits, however they are written: a shorter token can be guessed.
_SHORTEST_TOKEN = 16
_LONGEST_TOKEN = 8 * 1024
_SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


def listen(host: str, port: int) -> socket.socket:
    """A listening TCP socket. Raises `typer.BadParameter`, `UnreadableError` where the port is taken."""
    ip = parse_host(host)
    family = socket.AF_INET6 if ip.version == 6 else socket.AF_INET
    try:
        return socket.create_server((str(ip), port), family=family, backlog=_BACKLOG)
    except OSError as error:
        detail = os.strerror(error.errno) if error.errno else str(error)
        raise UnreadableError(f"cannot listen on {host} port {port}: {detail}. Choose another with --port.") from error


def parse_host(host: str) -> IPv4Address | IPv6Address:
    """The address that is meant. Raises `typer.BadParameter`."""
    try:
        return ip_address("127.0.0.1" if host == "localhost" else host)
    except ValueError as error:
        raise typer.BadParameter(f"{host!r} is no IP address: write 127.0.0.1 or ::1.", param_hint="--host") from error


def listen_unix(path: Path) -> socket.socket:
    """A listening Unix socket that its owner alone may open. Raises `UnreadableError`."""
    try:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        _check_directory(path.parent)
        _remove_stale(path)
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        before = os.umask(0o177)
        try:
            sock.bind(str(path))
        finally:
            os.umask(before)
        sock.listen(_BACKLOG)
    except OSError as error:
        detail = error.strerror or str(error)
        raise UnreadableError(f"cannot listen on {path}: {detail}. Choose another with --socket.") from error
    return sock


def _check_directory(directory: Path) -> None:
    """Nobody else may be able to put another socket in the place of ours."""
    found = directory.lstat()
    ours = stat.S_ISDIR(found.st_mode) and found.st_uid in (0, os.geteuid()) and not found.st_mode & 0o022
    if not ours:
        raise UnreadableError(
            f"{directory} is not a directory that root or this user alone may write: choose another --socket."
        )


def _remove_stale(path: Path) -> None:
    """Removes the socket of a kubereach that was killed. Raises `UnreadableError` where something else or a living one is."""
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise UnreadableError(f"{path} exists and is no socket: choose another --socket.")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as question:
            question.settimeout(1.0)
            with contextlib.suppress(ConnectionRefusedError):
                question.connect(str(path))
                raise UnreadableError(f"another kubereach serves {path}: end it, or choose another --socket.")
        path.unlink()


def read_token(path: Path) -> str:
    """The SHA-256 of the token in a file, in hexadecimal: the token itself goes no further. Raises `UnreadableError`."""
    token = _read(path).strip()
    if not _SHORTEST_TOKEN <= len(token) <= _LONGEST_TOKEN or not token.isascii() or not token.isprintable() or " " in token:
        raise UnreadableError(
            f"{path} holds no token: one line of {_SHORTEST_TOKEN} printable characters or more is needed, "
            "such as `openssl rand -hex 32` writes."
        )
    return sha256(token.encode("ascii")).hexdigest()


def read_certificate(certificate: Path, key: Path) -> tuple[str, str]:
    """Certificate and key, PEM. Raises `UnreadableError` where they are none or do not belong together."""
    from agent.api.tls import server_context  # noqa: PLC0415 - only `serve` with TLS needs it

    pem = _read(certificate), _read(key)
    try:
        server_context(*pem)
    except (ssl.SSLError, ValueError) as error:
        raise UnreadableError(f"{certificate} and {key} are no certificate and its key, in PEM: {error}.") from error
    return pem


def seal(secrets: Secrets) -> int:
    """A memory file that holds them and that nobody can change any more; its descriptor."""
    descriptor = os.memfd_create("kubereach-secrets", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.write(descriptor, json.dumps(to_plain(secrets)).encode("ascii"))
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _SEALS)
    return descriptor


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except UnicodeDecodeError as error:
        raise UnreadableError(f"{path} is no text.") from error
