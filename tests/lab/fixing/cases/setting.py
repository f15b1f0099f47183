"""What several cases say."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from agent.host import operations
from agent.host.errors import FixRefused


def count(some: int, full: int) -> int:
    """How often to try: the second number in `make fix-faults`."""
    return full if os.environ.get("KUBEREACH_FULL") else some


# Seconds: short enough to be waited for, and long enough that four labs on two busy processors look while it lasts.
SHORT = 6


@contextmanager
def refused(kind: str, words: str = "") -> Iterator[None]:
    """What happens inside must be refused, for this reason."""
    try:
        yield
    except FixRefused as refusal:
        found = refusal
    else:
        raise AssertionError("it was not refused")
    assert found.kind == kind, (found.kind, str(found))
    assert words in str(found), str(found)


def by(fix_id: str, why: str = "test") -> operations.FixArguments:
    return operations.FixArguments(fix_id, "test", why)


def rules_alone(text: str) -> list[str]:
    """A save without its remarks and counters."""
    return [line.split(" [")[0] for line in text.splitlines() if line[:1] in ("*", ":", "-")]
