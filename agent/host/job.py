"""The worker's side of a job: one line of JSON in, one value out, and the end.

A worker imports its library first and calls `answer` last, so that a spare has already paid for the import while it waits.
"""

import json
import os
import sys
from collections.abc import Callable
from typing import Any

from agent.model.codec import to_plain


def answer(work: Callable[[dict[str, Any]], Any], output: int) -> None:
    """Waits for the job on stdin, writes what `work` makes of it to the descriptor `output`, and returns.

    An end of stdin before any job means that nobody needs this worker.
    """
    line = sys.stdin.readline()
    if not line:
        return
    with os.fdopen(os.dup(output), "w", encoding="utf-8") as file:
        json.dump(to_plain(work(json.loads(line))), file)
