"""Logs as one JSON object a line on stderr. No line holds a token, and a flood of lines is cut off and counted."""

import json
import logging
import sys
import time
from datetime import UTC, datetime

# Lines a second. A person reads none of them at that speed, and a disk should not fill because of a stranger.
_RATE = 100


class JsonFormatter(logging.Formatter):
    """`time`, `level`, `logger`, `message`, what was `told` beside them, and `trace` for an exception.

    ASCII alone: whatever strangers' text holds, an event is one line.
    """

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        line = {"time": at, "level": record.levelname.lower(), "logger": record.name, "message": record.getMessage()}
        line |= getattr(record, "told", {})
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=True, default=str)


class Sluice(logging.Filter):
    """Lets `_RATE` records a second through, and tells with the next one how many were not."""

    def __init__(self) -> None:
        super().__init__()
        self._second, self._count, self._lost = 0, 0, 0

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether it is written."""
        second = int(time.monotonic())
        if second != self._second:
            self._second, self._count = second, 0
        self._count += 1
        if self._count > _RATE:
            self._lost += 1
            return False
        if self._lost:
            record.told = {**getattr(record, "told", {}), "lines_not_written": self._lost}
            self._lost = 0
        return True


def configure() -> None:
    """From here on this process logs so: what kubereach does from INFO on, what libraries say from WARNING on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    handler.addFilter(Sluice())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("agent").setLevel(logging.INFO)
