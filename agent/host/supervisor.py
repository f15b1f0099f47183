"""The parent of broker and front: `serve` becomes it. It starts both, starts again whichever dies, and ends both in order.

It holds the listening sockets and the sealed secrets for the front, so that clients wait instead of being refused while one
starts again. It is privileged and reads nothing that anybody sends: neither its children's links, which carry descriptors away
from it only, nor the sockets it keeps. Each time a child starts, both are handed the ends of a fresh conversation.
"""

import argparse
import json
import os
import select
import socket
import sys
import time
from collections.abc import Sequence
from functools import partial

from agent.host import privilege
from agent.host.bell import Bell
from agent.host.ward import Ward

# How long each must have lived to be back at once when it dies. A broker that was up for a second had begun to answer; a front
# that was restarted twice in half a minute dies of what it is asked.
_BROKER_WELL, _FRONT_WELL = 1.0, 30.0
# Told to end, we are gone within five seconds: enough for the front to answer what it has begun (its own deadlines are below
# it), and what is left for the broker to take fixes out where the operator wants that.
_FRONT_GRACE, _BOTH = 2.6, 4.6


def supervise(broker: Ward, front: Ward, bell: Bell) -> None:
    """Runs both until the bell rings, and ends them: the front first, so that it can answer what it has begun."""
    while not bell.rang:
        now = time.monotonic()
        started = [ward.start() for ward in (broker, front) if not ward.lives and ward.due <= now]
        if any(started):
            _introduce(broker, front)
        waiting = [ward.due for ward in (broker, front) if not ward.lives]
        patience = max(0.0, min(waiting) - now) if waiting else None
        living = {ward.fileno(): ward for ward in (broker, front) if ward.lives}
        for readable in select.select([bell.fileno(), *living], [], [], patience)[0]:
            if readable in living:
                living[readable].bury()
    deadline = time.monotonic() + _BOTH
    front.hang_up()
    front.await_end(_FRONT_GRACE)
    broker.terminate()
    broker.await_end(deadline - time.monotonic())


def _introduce(broker: Ward, front: Ward) -> None:
    if broker.lives and front.lives:
        one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with one, other:
            broker.introduce(one)
            front.introduce(other)


def _launched(user: int, front: Sequence[str]) -> list[str]:
    """The front's command line: its launcher gives up every privilege before it becomes the front."""
    return [privilege.launcher(user), "-P", "-m", "agent.host.launch", str(os.getpid()), str(user), *front]


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of `python -m agent.host.supervisor`. Returns the exit code: 0, or 2 and a sentence on bad arguments."""
    parser = argparse.ArgumentParser(prog="agent.host.supervisor", description=__doc__, allow_abbrev=False)
    parser.add_argument("--broker", required=True, help="the broker's argv as a JSON list")
    parser.add_argument("--front", required=True, help="the front's, likewise")
    parser.add_argument("--keep-fd", type=int, action="append", default=[], help="a descriptor that the front inherits")
    options = parser.parse_args(argv)
    commands = [_words(parser, text) for text in (options.broker, options.front)]
    for descriptor in options.keep_fd:
        try:
            os.set_inheritable(descriptor, False)  # to the front alone, which is told explicitly
        except OSError as error:
            parser.error(f"descriptor {descriptor} is not open: {error.strerror}")
    user, _ = privilege.front_user()
    with Bell() as bell:
        broker = Ward("broker", lambda: commands[0], (), _BROKER_WELL)
        supervise(broker, Ward("front", partial(_launched, user, commands[1]), options.keep_fd, _FRONT_WELL), bell)
    return 0


def _words(parser: argparse.ArgumentParser, text: str) -> list[str]:
    try:
        words = json.loads(text)
    except ValueError as error:
        parser.error(f"a command line is a JSON list: {error}")
    if not isinstance(words, list) or not words or not all(isinstance(word, str) for word in words):
        parser.error("a command line is a JSON list of words")
    return words


if __name__ == "__main__":
    sys.exit(main())
