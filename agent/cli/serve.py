"""`serve`: opens the port and becomes the broker, which starts the HTTP front and hands the port to it."""

import json
import os
import socket
import sys
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Annotated

import typer

from agent.cli.failures import UnreadableError, say
from agent.cli.options import with_fix_settings
from agent.model.codec import to_plain
from agent.model.settings import PORT, Settings

# Connections that wait to be accepted; more than a person and a scraper will ever need.
_BACKLOG = 64


@with_fix_settings
def serve(
    settings: Settings,
    host: Annotated[
        str, typer.Option("--host", envvar="KUBEREACH_HOST", help="The loopback address to listen on.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", envvar="KUBEREACH_PORT", min=0, max=65535, help="The port; 0: any.")] = PORT,
) -> None:
    """Answer over HTTP: `curl 127.0.0.1:10270`."""
    given = json.dumps(to_plain(settings))
    python = (sys.executable, "-P", "-m")
    front = json.dumps([*python, "agent.api.front", "--settings", given])
    with listen(host, port) as listener:
        fd = listener.fileno()
        os.set_inheritable(fd, True)
        say(f"serving; try `curl {address(listener)}`, and end with Ctrl-C")
        sys.stderr.flush()
        argv = [*python, "agent.host.broker", "--settings", given, "--listen-fd", str(fd), "--front", front]
        # The same process goes on as the broker: a signal to this pid reaches it, and nothing is left in between.
        os.execv(sys.executable, argv)  # noqa: S606 - no shell is wanted


def listen(host: str, port: int) -> socket.socket:
    """A listening socket on a loopback address. Raises `typer.BadParameter`, `UnreadableError` where the port is taken."""
    ip = loopback(host)
    family = socket.AF_INET6 if ip.version == 6 else socket.AF_INET
    try:
        return socket.create_server((str(ip), port), family=family, backlog=_BACKLOG)
    except OSError as error:
        detail = os.strerror(error.errno) if error.errno else str(error)
        raise UnreadableError(f"cannot listen on {host} port {port}: {detail}. Choose another with --port.") from error


def loopback(host: str) -> IPv4Address | IPv6Address:
    """The address that is meant. Raises `typer.BadParameter` where others than this machine could reach it."""
    try:
        ip = ip_address("127.0.0.1" if host == "localhost" else host)
    except ValueError as error:
        raise typer.BadParameter(f"{host!r} is no IP address: write 127.0.0.1 or ::1.", param_hint="--host") from error
    if ip.is_loopback:
        return ip
    raise typer.BadParameter(
        f"{host} is not a loopback address: there is no authentication yet, so kubereach answers on 127.0.0.1 or ::1 only. "
        "From elsewhere, use `ssh -L` or `kubectl port-forward`.",
        param_hint="--host",
    )


def address(listener: socket.socket) -> str:
    """Its address as curl takes it."""
    host, port = listener.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
