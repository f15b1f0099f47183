"""That somebody told this process to end, as a descriptor to wait on."""

import select
import signal
import socket
from types import FrameType, TracebackType


class Bell:
    """Rings once SIGTERM or SIGINT has come. Use in the main thread; a context manager, after which both are ignored."""

    def __init__(self) -> None:
        self._reader, self._writer = socket.socketpair()
        self._writer.setblocking(False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ring)

    def __enter__(self) -> "Bell":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        self._reader.close()
        self._writer.close()

    def fileno(self) -> int:
        """Readable from the first signal on."""
        return self._reader.fileno()

    @property
    def rang(self) -> bool:
        """Whether one has come."""
        return bool(select.select([self._reader], [], [], 0)[0])

    def _ring(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        try:
            self._writer.send(b"!")
        except BlockingIOError:  # it has rung often enough to be heard
            return
