"""The unprivileged half of `kubereach serve`: the API on sockets that were opened for it. It outlives its broker.

Started by the supervisor as `python -m agent.api.front --settings JSON --access JSON --secrets-fd S --listen-fd N --link-fd X`.
"""

import argparse
import json
import logging
import os
import socket
import ssl
from collections.abc import Sequence
from dataclasses import replace
from threading import Thread

import uvicorn

from agent.analysis.diagnosis.diagnose import analyse
from agent.api import logs
from agent.api.app import create_app
from agent.api.callers import Callers
from agent.api.doors import Server, addresses, is_loopback
from agent.api.tls import server_context
from agent.cluster.connection import node_name
from agent.cluster.reviews import Reviews
from agent.host import link
from agent.host.client import Broker
from agent.host.privilege import forbid_dumps
from agent.host.probe import probe
from agent.model.access import Access, Secrets
from agent.model.capture import Capture
from agent.model.codec import from_plain
from agent.model.settings import Extras, Settings
from agent.service.authority import Authority
from agent.service.clock import Clock, SystemClock
from agent.service.collect import collect, probe_only
from agent.service.diagnoses import Diagnoses
from agent.service.failures import Failures
from agent.service.fixes import Fixing
from agent.service.limits import Limiter, Rate
from agent.service.publish import publish
from agent.service.rounds import Rounds
from agent.service.watch import Watch

# A supervisor that ends gives its front little more than that.
_FAREWELL = 2
# Reviews that one address, and all addresses together, may cost the cluster beyond the remembered ones.
_REVIEWS_EACH, _REVIEWS_TOGETHER = Rate(20, 0.2), Rate(100, 0.05)

_NO_SECRETS = Secrets()

_log = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None) -> int:
    """Serves until told to stop (SIGTERM, SIGINT, the end of the link). Returns the exit code."""
    parser = argparse.ArgumentParser(prog="agent.api.front", description=__doc__)
    parser.add_argument("--settings", required=True, help="agent.model.settings.Settings as JSON")
    parser.add_argument("--access", default="{}", help="agent.model.access.Access as JSON; nobody is let in without")
    parser.add_argument("--secrets-fd", type=int, help="a memory file with agent.model.access.Secrets as JSON")
    parser.add_argument("--link-fd", required=True, type=int, help="where the supervisor hands over channels to the broker")
    parser.add_argument("--listen-fd", required=True, type=int, action="append", help="a listening TCP or Unix socket")
    given = parser.parse_args(argv)
    logs.configure()
    forbid_dumps()
    settings, access = from_plain(Settings, json.loads(given.settings)), from_plain(Access, json.loads(given.access))
    secrets = _read_secrets(given.secrets_fd)
    sockets = [socket.socket(fileno=number) for number in dict.fromkeys(given.listen_fd)]
    serve(socket.socket(fileno=given.link_fd), sockets, settings, access, secrets)
    return 0


def serve(
    line: socket.socket, sockets: list[socket.socket], settings: Settings, access: Access, secrets: Secrets = _NO_SECRETS
) -> None:
    """Answers on `sockets` with what the broker sees, whichever one the link `line` last had a channel to."""
    clock = SystemClock()
    with Broker() as broker:

        def look(extras: Extras) -> Capture:
            return collect(broker, replace(settings, deep=extras.deep, phantom=extras.phantom), clock, diagnoses.hear)

        diagnoses = Diagnoses(look, analyse, clock)
        fixing = Fixing(broker, settings, clock, lambda: collect(broker, settings, clock), probe, diagnoses.outdate)
        callers, failures = _callers(access, secrets, settings, clock), Failures() if settings.publish else None
        app = create_app(broker, diagnoses, settings, clock, fixing, callers=callers, failures=failures)
        config = uvicorn.Config(
            app,
            ws="none",
            log_config=None,
            access_log=False,
            lifespan="off",
            server_header=False,
            timeout_graceful_shutdown=_FAREWELL,
        )
        server = Server(config, _tls(sockets, access, secrets))
        rounds = Rounds(lambda requests: probe_only(broker, settings, clock, requests=requests)[0], clock)
        watch = Watch(diagnoses, rounds.connect, access.interval)
        if access.interval:
            watch.start()
        Thread(target=_follow, args=(line, broker, server), name="link", daemon=True).start()
        ended = publish(settings, diagnoses, fixing, clock, failures) if failures else None
        _log.info("serving on %s", addresses(sockets))
        try:
            server.run(sockets=sockets)
        finally:
            if ended:
                ended.set()
            watch.close()
            diagnoses.close()


def _callers(access: Access, secrets: Secrets, settings: Settings, clock: Clock) -> Callers:
    return Callers(
        uids=frozenset({0, access.owner}),
        insecure_loopback=access.insecure_loopback,
        token_sha256=secrets.token_sha256,
        authority=Authority(Reviews(access.audience, node_name(settings.node_name)), clock) if access.cluster else None,
        reviews=Limiter(_REVIEWS_EACH, _REVIEWS_TOGETHER, clock),
    )


def _tls(sockets: Sequence[socket.socket], access: Access, secrets: Secrets) -> ssl.SSLContext | None:
    """TLS wherever a token is asked for. Without it an insecure loopback alone is served, which is held here too."""
    if secrets.certificate:
        return server_context(secrets.certificate, secrets.key)
    for sock in sockets:
        if sock.family != socket.AF_UNIX and not (access.insecure_loopback and is_loopback(sock)):
            raise SystemExit(f"kubereach: {sock.getsockname()[0]} is not served without TLS.")
    return None


def _read_secrets(descriptor: int | None) -> Secrets:
    if descriptor is None:
        return Secrets()
    try:
        return from_plain(Secrets, json.loads(os.pread(descriptor, os.fstat(descriptor).st_size, 0)))
    finally:
        os.close(descriptor)


def _follow(line: socket.socket, broker: Broker, server: Server) -> None:
    """Renews the broker with each channel that comes, and ends the server when no more can."""
    again = False
    try:
        with line:
            while (channel := link.take(line)) is not None:
                broker.renew(channel)
                if again:
                    _log.warning("the broker was started again")
                again = True
        _log.warning("the supervisor ends: so does the front")
    finally:
        server.leave()


if __name__ == "__main__":
    raise SystemExit(main())
