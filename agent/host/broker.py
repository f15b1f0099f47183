"""The privileged process: serves the closed list of operations over inherited sockets. Standard library only.

One shot (`--channel-fd`): ends with its client. Served (`--link-fd`): a child of the supervisor, which hands it a conversation
with each front. Each conversation has one thread of its own. A broker that ends takes its workers and commands with it: they
hang on its leash, as it does on its supervisor's.
"""

import argparse
import contextlib
import json
import os
import select
import signal
import socket
import sys
from collections.abc import Sequence
from threading import Thread

from agent.host import link, privilege, wire
from agent.host.answers import Answers
from agent.host.bell import Bell
from agent.host.fixing import farewell
from agent.host.room import Room
from agent.host.workers import Workers
from agent.model.codec import CodecError, from_plain
from agent.model.settings import Settings

# For fixes at an orderly end: the supervisor gives us two seconds at least, and workers have to be ended, too.
_FAREWELL = 1.6
# Templates import for half a second of a processor: one that takes a dead broker's place first answers who waits for it, and
# a first one still has them before its front is there. A look that comes earlier starts them itself.
_SETTLING = 0.4


class Broker:
    """The conversations of one broker process."""

    def __init__(self, settings: Settings, *, stays: bool = False) -> None:
        self._settings = settings
        room = Room()
        self._workers = Workers(room)
        self._answers = Answers(settings, self._workers, self.converse, room=room, stays=stays)

    def warm(self) -> None:
        """Starts the workers that the first look will want, before it asks."""
        self._answers.warm()

    def keep_fixes(self) -> None:
        """From now on ends fixes in time and takes out what is left of them, in a thread of its own."""
        Thread(target=self._answers.fixer.watch, name="fixes", daemon=True).start()

    def part(self) -> None:
        """What is to be done before an orderly end: fixes that shall not outlive it."""
        if self._settings.allow_fix:
            farewell.part(self._answers.fixer, self._settings.on_stop, _FAREWELL)

    def close(self) -> None:
        """Ends the workers."""
        self._workers.close()

    def converse(self, channel: socket.socket) -> None:
        """Serves a channel, which it takes over, in a thread of its own until the other end closes it."""
        Thread(target=self._serve, args=(channel,), name="conversation", daemon=True).start()

    def _serve(self, channel: socket.socket) -> None:
        with channel, contextlib.suppress(wire.PeerGone):
            while True:
                try:
                    request, stray = wire.receive(channel, wire.REQUEST_LIMIT)
                except wire.PeerGone:
                    return
                except wire.WireError as error:
                    # What follows on this channel cannot be told apart any more.
                    wire.send(channel, {"error": "refused", "message": str(error)})
                    return
                if stray is not None:
                    os.close(stray)
                answer = self._answers.answer(request)
                with answer.attached or contextlib.nullcontext():
                    wire.send(channel, answer.body, answer.attached.fileno() if answer.attached else None)


def serve_once(settings: Settings, channel: socket.socket) -> None:
    """Serves one client until it is gone, whatever it was waiting for."""
    broker = Broker(settings)
    watched = os.dup(channel.fileno())  # the conversation may close its own while we wait
    broker.warm()  # first, or the first question would start a worker of its own
    broker.converse(channel)
    poll = select.poll()
    poll.register(watched, wire.HUNG_UP)
    poll.poll()
    broker.close()


def serve(settings: Settings, line: socket.socket) -> None:
    """Serves the conversations that come over the link, until SIGTERM or SIGINT, or until the supervisor is gone."""
    with Bell() as bell:
        broker = Broker(settings, stays=True)
        pause: float | None = _SETTLING
        if settings.allow_fix:
            broker.keep_fixes()
        while True:
            if not select.select([bell.fileno(), line.fileno()], [], [], pause)[0]:
                broker.warm()
                pause = None
                continue
            if bell.rang:
                broker.part()
                break
            conversation = link.take(line)
            if conversation is None:
                break
            broker.converse(conversation)
        broker.close()


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point of `python -m agent.host.broker`. Ends the process: with 0, or 2 and a sentence on bad arguments."""
    parser = argparse.ArgumentParser(prog="agent.host.broker", description=__doc__, allow_abbrev=False)
    parser.add_argument("--settings", required=True, help="Settings as JSON")
    parser.add_argument("--channel-fd", type=int, help="serve this connected Unix socket once")
    parser.add_argument("--link-fd", type=int, help="serve what comes over this link to our supervisor")
    options = parser.parse_args(argv)
    try:
        settings = from_plain(Settings, json.loads(options.settings))
    except (CodecError, ValueError) as error:
        parser.error(str(error))
    if (options.channel_fd is None) == (options.link_fd is None):
        parser.error("either --channel-fd or --link-fd")
    elif options.channel_fd is not None:
        # A terminal's Ctrl-C reaches us too; our client decides when to end, by closing its socket.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        serve_once(settings, _inherited(parser, options.channel_fd))
    else:
        # A supervisor that was gone before this has closed the link.
        privilege.leash(os.getppid())
        serve(settings, _inherited(parser, options.link_fd))
    sys.stderr.flush()
    # Conversations may be in the middle of an operation for a client that is gone; nobody waits for them.
    os._exit(0)


def _inherited(parser: argparse.ArgumentParser, fd: int) -> socket.socket:
    try:
        sock = socket.socket(fileno=fd)
    except OSError as error:
        parser.error(f"descriptor {fd} is no socket: {error.strerror}")
    os.set_inheritable(fd, False)
    return sock


if __name__ == "__main__":
    main()
