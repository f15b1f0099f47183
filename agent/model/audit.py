"""The audit log's chain: each record carries the digest of the one before, so that none can be changed, cut out or reordered.

A line is JSON with sorted keys; `hash` is the SHA-256 of the same line without it. Pure: the host reads and writes the file.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from agent.model.fix import AuditCheck

START = "0" * 64


def seal(record: Mapping[str, Any], number: int, previous: str) -> tuple[str, str]:
    """The record's line (without its end) and its hash, as the `number`th record after one with the hash `previous`."""
    body = {**record, "number": number, "previous": previous}
    digest = _digest(body)
    return json.dumps({**body, "hash": digest}, sort_keys=True), digest


def verify(lines: Iterable[str], head: tuple[int, str] | None = None) -> AuditCheck:
    """Walks the chain. `head` is number and hash of a record that must be there: without it a cut tail could not be seen."""
    number, previous = 0, START
    reached = head is None or head[0] == 0
    for line in lines:
        number += 1
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            return AuditCheck(records=number - 1, problem=f"record {number} is not JSON")
        if not isinstance(record, dict) or json.dumps(record, sort_keys=True) != line:
            return AuditCheck(records=number - 1, problem=f"record {number} is not written as kubereach writes it")
        digest = record.pop("hash", None)
        if record.get("number") != number or record.get("previous") != previous or digest != _digest(record):
            return AuditCheck(records=number - 1, problem=f"record {number} was changed, or a record before it is missing")
        previous = digest
        if head is not None and head[0] == number:
            if head[1] != digest:
                return AuditCheck(records=number - 1, problem=f"record {number} is not the one that was written")
            reached = True
    if not reached and head is not None:
        return AuditCheck(records=number, problem=f"records after {number} are missing: there were {head[0]}")
    return AuditCheck(records=number)


def _digest(body: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
