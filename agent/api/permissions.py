"""The authorisation table: every route that exists, and what a caller must be allowed to do to use it.

What is not in here is answered to nobody: a route that was forgotten is a route that does not exist.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from agent.model.access import (
    CREATE_DIAGNOSES,
    CREATE_FIXES,
    CREATE_PLANS,
    DELETE_FIXES,
    GET_CAPTURES,
    GET_DIAGNOSES,
    Action,
)


class Cost(Enum):
    """What a request makes the node do, and so which limit it counts against."""

    NOTHING = "nothing"  # answered from memory, or by a diagnosis that all callers share for ten seconds
    LOOK = "look"  # reads the firewall
    DIAGNOSIS = "diagnosis"  # starts a whole look


@dataclass(frozen=True, slots=True)
class Row:
    """One route. `action` None: open to everybody, for a kubelet, which has no token to show."""

    action: Action | None
    cost: Cost = Cost.NOTHING


TABLE: Mapping[tuple[str, str], Row] = {
    ("GET", "/livez"): Row(None),
    ("GET", "/readyz"): Row(None),  # one word
    ("GET", "/readyz?verbose"): Row(GET_DIAGNOSES),
    ("GET", "/metrics"): Row(GET_DIAGNOSES),
    ("GET", "/openapi.json"): Row(GET_DIAGNOSES),
    ("HEAD", "/openapi.json"): Row(GET_DIAGNOSES),
    ("GET", "/v1/schemas"): Row(GET_DIAGNOSES),
    ("GET", "/v1/schemas/{name}"): Row(GET_DIAGNOSES),
    ("GET", "/"): Row(GET_DIAGNOSES),
    ("GET", "/v1/report"): Row(GET_DIAGNOSES),
    ("GET", "/v1/verdict"): Row(GET_DIAGNOSES),
    ("GET", "/v1/reach"): Row(GET_DIAGNOSES),
    ("GET", "/v1/capture"): Row(GET_CAPTURES),
    ("GET", "/v1/firewall"): Row(GET_CAPTURES, Cost.LOOK),
    ("GET", "/v1/explain"): Row(GET_DIAGNOSES, Cost.LOOK),
    ("GET", "/v1/diagnoses"): Row(GET_DIAGNOSES),
    ("POST", "/v1/diagnoses"): Row(CREATE_DIAGNOSES, Cost.DIAGNOSIS),
    ("GET", "/v1/diagnoses/{diagnosis_id}"): Row(GET_DIAGNOSES),
    ("GET", "/v1/diagnoses/{diagnosis_id}/events"): Row(GET_DIAGNOSES),
    ("POST", "/v1/plans"): Row(CREATE_PLANS, Cost.LOOK),
    ("GET", "/v1/plans/{id}"): Row(GET_DIAGNOSES),
    ("GET", "/v1/fixes"): Row(GET_DIAGNOSES),
    ("GET", "/v1/fixes/{id}"): Row(GET_DIAGNOSES),
    ("POST", "/v1/fixes"): Row(CREATE_FIXES, Cost.LOOK),
    ("POST", "/v1/fixes/{id}/confirm"): Row(CREATE_FIXES),
    ("DELETE", "/v1/fixes/{id}"): Row(DELETE_FIXES),
}

_PARAMETER = re.compile(r"\{[^}]*\}")
_PATTERNS = {path: re.compile("[^/]+".join(map(re.escape, _PARAMETER.split(path)))) for _, path in TABLE if "?" not in path}


@dataclass(frozen=True, slots=True)
class Found:
    """Where a request belongs. `path` is the table's, "" for none; `row` None: nothing there, or not with this method."""

    path: str
    row: Row | None
    methods: tuple[str, ...] = ()


def find(method: str, path: str, *, verbose: bool = False) -> Found:
    """The row of a request. Its path is compared whole, as the application's router does."""
    template = next((name for name, pattern in _PATTERNS.items() if pattern.fullmatch(path)), "")
    if not template:
        return Found("", None)
    row = (TABLE.get((method, f"{template}?verbose")) if verbose else None) or TABLE.get((method, template))
    return Found(template, row, tuple(sorted(allowed for allowed, name in TABLE if name == template)))


def holds(method: str, template: str) -> bool:
    """Whether a route of the application, in its own spelling of parameters, is in the table."""
    plain = _PARAMETER.sub("{}", template)
    return any(method == allowed and plain == _PARAMETER.sub("{}", path) for allowed, path in TABLE)
