"""Ten thousand at once, in a process of its own: `python -m tests.bench.crowd ask|connect PORT|ADDRESS COUNT`.

`ask` has each send a POST /v1/diagnoses to a server on loopback; `connect` has each connect where packets are dropped, with a
deadline of one second, as raw asyncio does it. Prints milliseconds until the last one ended, and what became of them.
"""

import asyncio
import collections
import json
import resource
import sys
import time
from collections.abc import Callable, Coroutine
from functools import partial

_DEADLINE, _PATIENCE = 1.0, 30.0
_KUBELET = 10250
_REQUEST = b"POST /v1/diagnoses HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


async def connect(address: str) -> str:
    """One connect that nobody answers."""
    try:
        async with asyncio.timeout(_DEADLINE):
            _, writer = await asyncio.open_connection(address, _KUBELET)
    except TimeoutError:
        return "deadline"
    except OSError as error:
        return type(error).__name__
    writer.close()
    return "open"


async def ask(port: str) -> str:
    """One request; the status of its answer, or how it ended without."""
    try:
        async with asyncio.timeout(_PATIENCE):
            reader, writer = await asyncio.open_connection("127.0.0.1", int(port))
            try:
                writer.write(_REQUEST)
                line = await reader.readline()
            finally:
                writer.close()
    except TimeoutError:
        return "no answer"
    except OSError as error:
        return type(error).__name__
    return f"HTTP {line.split()[1].decode()}" if line else "closed"


async def main(one: Callable[[], Coroutine[None, None, str]], count: int) -> None:
    """All at once."""
    start = time.perf_counter()
    ended = await asyncio.gather(*(one() for _ in range(count)))
    print(json.dumps({"ms": (time.perf_counter() - start) * 1000, "ended": collections.Counter(ended)}))


if __name__ == "__main__":
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    kind, where, number = sys.argv[1:]
    asyncio.run(main(partial(connect if kind == "connect" else ask, where), int(number)))
