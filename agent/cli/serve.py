"""`serve`: opens the sockets and becomes the supervisor, which starts broker and front and hands the sockets to the front."""

import json
import os
import re
import socket
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from agent.cli.doors import listen, listen_unix, parse_host, read_certificate, read_token, seal
from agent.cli.failures import UnreadableError, say
from agent.cli.options import with_fix_settings
from agent.model.access import GROUP, SOCKET, Access, Secrets
from agent.model.codec import to_plain
from agent.model.settings import PORT, OnStop, Settings

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}
# A look costs a tenth of a second of a processor; more often than this is not watching but work.
_SHORTEST_INTERVAL = 10.0


def _option(flag: str, text: str, **more: Any) -> Any:
    return typer.Option(flag, envvar="KUBEREACH_" + flag[2:].replace("-", "_").upper(), help=text, show_default=False, **more)


@with_fix_settings
def serve(  # noqa: PLR0913, PLR0917 - one parameter for each flag
    settings: Settings,
    host: Annotated[
        str | None, _option("--host", "The address to listen on. Not given: 127.0.0.1, where callers can be told apart.")
    ] = None,
    port: Annotated[int, typer.Option("--port", envvar="KUBEREACH_PORT", min=0, max=65535, help="The port; 0: any.")] = PORT,
    unix: Annotated[
        str | None, _option("--socket", f"The Unix socket for root and this user; '' for none. Not given: {SOCKET}.")
    ] = None,
    tls_cert: Annotated[Path | None, _option("--tls-cert", "Certificate, PEM. Not given: one is made at each start.")] = None,
    tls_key: Annotated[Path | None, _option("--tls-key", "Its key, PEM.")] = None,
    token_file: Annotated[
        Path | None, _option("--token-file", "A file with a token whose bearer may do everything, where there is no cluster.")
    ] = None,
    audience: Annotated[str, _option("--audience", "The audience that tokens of the cluster are made for.")] = GROUP,
    insecure_loopback: Annotated[
        bool, _option("--insecure-loopback", "Everybody on this machine may do everything, over plain HTTP on loopback.")
    ] = False,
    on_stop: Annotated[
        OnStop, _option("--on-stop", "Told to end: `keep` leaves live fixes to their leases, `revert` takes them out.")
    ] = OnStop.KEEP,
    interval: Annotated[
        str, _option("--interval", "Look again every so often, such as 5m; a whole diagnosis when something changed.")
    ] = "",
) -> None:
    """Answer over HTTP, to callers that are known: `curl --unix-socket /run/kubereach/kubereach.sock http://localhost`."""
    cluster = not insecure_loopback and _has_cluster()
    access = Access(
        owner=os.geteuid(),
        insecure_loopback=insecure_loopback,
        cluster=cluster and token_file is None,
        audience=audience,
        interval=_seconds(interval),
    )
    _check(host, access, token_file, (tls_cert, tls_key))
    known = insecure_loopback or token_file is not None or access.cluster
    with ExitStack() as opened:  # left only where the supervisor could not be started
        listeners = [opened.enter_context(listener) for listener in _unix(unix, needed=not known)]
        secrets = Secrets()
        if known:
            tcp = opened.enter_context(listen(host or "127.0.0.1", port))
            listeners = [tcp, *listeners]
            if not insecure_loopback:
                secrets = _secrets(token_file, tls_cert, tls_key, (settings.node_name, *settings.node_ips, _name(tcp)))
            say(f"serving on {address(tcp)}: {_who(access, token_file)}")
        else:
            say(
                "serving on the Unix socket only: with neither a cluster nor --token-file, no caller could be told from another"
            )
        sys.stderr.flush()
        sealed = seal(secrets)
        opened.callback(os.close, sealed)
        _become_supervisor(replace(settings, on_stop=on_stop), access, listeners, sealed)


def _become_supervisor(settings: Settings, access: Access, listeners: Sequence[socket.socket], secrets: int) -> None:
    """The same process goes on as the supervisor: a signal to this pid reaches it, and nothing is left in between."""
    given, python = json.dumps(to_plain(settings)), (sys.executable, "-P", "-m")
    sockets = [listener.fileno() for listener in listeners]
    broker = [*python, "agent.host.broker", "--settings", given]
    front = [*python, "agent.api.front", "--settings", given, "--access", json.dumps(to_plain(access))]
    front += ["--secrets-fd", str(secrets), *(word for each in sockets for word in ("--listen-fd", str(each)))]
    argv = [*python, "agent.host.supervisor", "--broker", json.dumps(broker), "--front", json.dumps(front)]
    argv += [word for kept in (secrets, *sockets) for word in ("--keep-fd", str(kept))]
    for descriptor in (*sockets, secrets):
        os.set_inheritable(descriptor, True)
    os.execv(sys.executable, argv)  # noqa: S606 - no shell is wanted


def _check(host: str | None, access: Access, token_file: Path | None, tls: tuple[Path | None, Path | None]) -> None:
    """Refuses flags that would let strangers in, or contradict each other. Raises `typer.BadParameter`."""
    ip = parse_host(host or "127.0.0.1")
    if access.insecure_loopback:
        if not ip.is_loopback:
            raise typer.BadParameter(
                f"{host} is not a loopback address, and is never served without authentication: leave --insecure-loopback out.",
                param_hint="--insecure-loopback",
            )
        if token_file or any(tls):
            raise typer.BadParameter(
                "it asks for no token and speaks plain HTTP: leave it or --token-file and --tls-* out.",
                param_hint="--insecure-loopback",
            )
    elif host is not None and not access.cluster and token_file is None:
        raise typer.BadParameter(
            f"nobody who connects to {host} could be authenticated: there is no cluster to ask (neither a service account nor "
            "KUBECONFIG), so give a --token-file"
            + (", or --insecure-loopback to let everybody on this machine in." if ip.is_loopback else "."),
            param_hint="--host",
        )
    if (tls[0] is None) != (tls[1] is None):
        raise typer.BadParameter("--tls-cert and --tls-key belong together: give both or neither.", param_hint="--tls-cert")


def _unix(given: str | None, *, needed: bool) -> list[socket.socket]:
    if given == "":
        if needed:
            raise typer.BadParameter("without it nothing is left to serve on: give a --token-file.", param_hint="--socket")
        return []
    path = Path(given or SOCKET)
    try:
        listener = listen_unix(path)
    except UnreadableError as error:
        if given is not None or needed:
            raise
        say(f"no Unix socket: {error}")
        return []
    say(f"serving on {path}: try `curl --unix-socket {path} http://localhost`")
    return [listener]


def _secrets(token_file: Path | None, certificate: Path | None, key: Path | None, names: Sequence[str]) -> Secrets:
    # A command that serves nothing needs no TLS.
    from agent.api.own_certificate import now, self_signed  # noqa: PLC0415
    from agent.api.tls import fingerprint  # noqa: PLC0415

    token = read_token(token_file) if token_file else ""
    if certificate and key:
        pem = read_certificate(certificate, key)
    else:
        own = (*filter(None, names), os.uname().nodename, "localhost", "127.0.0.1", "::1")
        pem = self_signed(own, now())
        say(f"certificate made for this start, SHA-256 fingerprint {fingerprint(pem[0])}")
    return Secrets(token_sha256=token, certificate=pem[0], key=pem[1])


def _who(access: Access, token_file: Path | None) -> str:
    if access.insecure_loopback:
        return "everybody on this machine may do everything"
    if token_file:
        return "to bearers of the token"
    return f"to whom the cluster allows it, with tokens for the audience {access.audience}"


def _has_cluster() -> bool:
    from agent.cluster.reviews import in_cluster  # noqa: PLC0415 - other commands do not need it

    return in_cluster()


def _seconds(text: str) -> float:
    """`90s`, `5m`, `1h` as seconds; nothing is 0. Raises `typer.BadParameter`."""
    found = re.fullmatch(r"(\d{1,6})([smh])", text)
    if not text or text == "0":
        return 0.0
    seconds = int(found[1]) * _UNITS[found[2]] if found else 0.0
    if seconds < _SHORTEST_INTERVAL:
        raise typer.BadParameter(
            f"{text!r} is no interval of ten seconds or more: write 30s, 5m or 1h.", param_hint="--interval"
        )
    return seconds


def _name(listener: socket.socket) -> str:
    host: str = listener.getsockname()[0]
    return host if host not in ("0.0.0.0", "::") else ""  # noqa: S104 - compared, not bound


def address(listener: socket.socket) -> str:
    """Its address as curl takes it."""
    host, port = listener.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
