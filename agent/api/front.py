"""The unprivileged half of `kubereach serve`: the API on a socket that the broker opened, ended when the broker is gone.

Started by the broker as `python -m agent.api.front --settings JSON --broker-fd X --listen-fd N`.
"""

import argparse
import json
import logging
import select
import socket
import sys
from collections.abc import Sequence
from threading import Thread

import uvicorn

from agent.analysis.diagnosis.diagnose import analyse
from agent.api.app import create_app
from agent.api.punctual import PunctualProtocol
from agent.host.client import Broker
from agent.host.probe import probe
from agent.model.codec import from_plain
from agent.model.settings import Settings
from agent.service.clock import SystemClock
from agent.service.collect import collect
from agent.service.diagnoses import Diagnoses
from agent.service.fixes import Fixing
from agent.service.publish import publish

# A person, a scraper and a kubelet or two; more at once is not use but abuse, and is told 503.
_CONNECTIONS = 64
# A broker that ends gives its front three seconds.
_FAREWELL = 2


def main(argv: Sequence[str] | None = None) -> int:
    """Serves until told to stop (SIGTERM, SIGINT) or until the broker is gone. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="agent.api.front", description=__doc__)
    parser.add_argument("--settings", required=True, help="agent.model.settings.Settings as JSON")
    parser.add_argument("--broker-fd", required=True, type=int, help="an open channel to the broker")
    parser.add_argument("--listen-fd", required=True, type=int, help="a listening TCP socket")
    given = parser.parse_args(argv)
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="kubereach: %(levelname)s: %(message)s")
    logging.getLogger("agent.service.fixes").setLevel(logging.INFO)  # a line for each change, and each refusal
    settings = from_plain(Settings, json.loads(given.settings))
    serve(socket.socket(fileno=given.broker_fd), socket.socket(fileno=given.listen_fd), settings)
    return 0


def serve(channel: socket.socket, listener: socket.socket, settings: Settings) -> None:
    """Answers on `listener` with what the broker at the other end of `channel` sees."""
    clock = SystemClock()
    watched = channel.dup()
    with Broker(channel) as broker:
        diagnoses = Diagnoses(lambda: collect(broker, settings, clock), analyse, clock)
        fixing = Fixing(broker, settings, clock, lambda: collect(broker, settings, clock), probe, diagnoses.outdate)
        app = create_app(broker, diagnoses, settings, clock, fixing)
        server = uvicorn.Server(
            uvicorn.Config(
                app,
                http=PunctualProtocol,
                log_config=None,
                access_log=False,
                lifespan="off",
                server_header=False,
                limit_concurrency=_CONNECTIONS,
                timeout_graceful_shutdown=_FAREWELL,
            )
        )
        Thread(target=_watch, args=(watched, server), name="broker-watch", daemon=True).start()
        ended = publish(settings, diagnoses, clock) if settings.publish else None
        try:
            server.run(sockets=[listener])
        finally:
            if ended:
                ended.set()
            diagnoses.close()


def _watch(channel: socket.socket, server: uvicorn.Server) -> None:
    """Ends the server when the other end of the channel hangs up. Looks only: what arrives there is the client's."""
    with channel:
        poll = select.poll()
        poll.register(channel, select.POLLRDHUP)
        poll.poll()
    logging.getLogger(__name__).warning("the broker is gone: the front ends")
    server.should_exit = True


if __name__ == "__main__":
    raise SystemExit(main())
