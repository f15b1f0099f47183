"""nft's statements other than matches: verdicts, verdict maps, reject, NAT, and those without influence on the verdict.

Some statements end the rule when they fail (`limit`, `add @set`): they are tests, and become `Unsure`. A statement that is
not known here may do anything and becomes `Unclear`, behind a `Forget` of the marks it might have written.
"""

from collections.abc import Callable
from typing import Any

from agent.analysis.readers.icmp_types import NFT_REPLIES
from agent.analysis.readers.intervals import exactly
from agent.analysis.readers.iptables_targets import opaque
from agent.analysis.readers.nft_keys import Key, version_test
from agent.analysis.readers.nft_marks import read_write
from agent.analysis.readers.nft_matches import Sets, implied_by, read_element, read_keys, read_match
from agent.analysis.readers.nft_text import render_statement
from agent.analysis.readers.nft_values import unwrapped
from agent.model.packet import TCP, Field
from agent.model.ruleset import (
    Accept,
    Compare,
    Drop,
    Forget,
    Jump,
    NoTrack,
    Pass,
    Reject,
    Return,
    Statement,
    Test,
    Translate,
    Unclear,
    Unsure,
    VerdictMap,
)

XT_MATCH, XT_TARGET = "xt match ", "xt target "
_HIDDEN = "nft does not show what an iptables extension asks or does"
_MARKS = (Field.MARK, Field.CT_MARK)
_PASSING = {"counter", "log", "last", "dup", "ct helper", "ct timeout", "ct expectation", "secmark", "comment"}
# They end the rule when a limit is reached, a set is full or the packet does not qualify.
_STATEFUL = {"limit", "quota", "ct count", "connlimit", "set", "map", "meter", "flow", "reset"}

Verdict = Accept | Drop | Jump | Return | Pass | Unclear
Read = Callable[[Any, Sets, frozenset[str]], list[Statement]]


def read_statement(statement: Any, sets: Sets, chains: frozenset[str]) -> list[Statement]:
    """One entry of a rule's `expr`, understood. `chains` are the names of the table's chains."""
    if not isinstance(statement, dict) or len(statement) != 1:
        return _unclear(render_statement(statement))
    name, body = next(iter(statement.items()))
    reader = _READERS.get(name)
    if reader is not None:
        return reader(body, sets, chains)
    verdict = _verdict(statement, chains)
    if isinstance(verdict, Unclear):
        return _unclear(verdict.text, verdict.why)
    return _unshown(name, body) if verdict is None else [verdict]


def _unshown(name: str, body: Any) -> list[Statement]:
    """Statements of which only their kind counts."""
    if name == "counter" and not isinstance(body, str):
        return []
    text = render_statement({name: body})
    if name in _PASSING:
        return [Pass(text)]
    if name in _STATEFUL:
        return [Unsure(text, f"{text} depends on what the kernel has counted or kept")]
    return _unclear(text)


def _unclear(text: str, why: str = "") -> list[Statement]:
    why = why or f"{text} is not understood by this version"
    return [Forget(_MARKS, text, why), Unclear(text, why)]


def _verdict(statement: Any, chains: frozenset[str]) -> Verdict | None:
    """A verdict as it stands in a rule or in a verdict map. None when it is not one."""
    if not isinstance(statement, dict) or len(statement) != 1:
        return None
    name, body = next(iter(statement.items()))
    if name in _VERDICTS:
        return _VERDICTS[name]
    if name in ("jump", "goto"):
        target = body.get("target") if isinstance(body, dict) else None
        if isinstance(target, str) and target in chains:
            return Jump(target, name == "goto")
        return Unclear(render_statement(statement), f"there is no chain {target}")
    if name == "queue":
        return Unclear(render_statement(statement), "a program in user space decides")
    return None


def _match(body: Any, sets: Sets, _chains: frozenset[str]) -> list[Statement]:
    return [*read_match(body, sets)]


def _vmap(body: Any, sets: Sets, chains: frozenset[str]) -> list[Statement]:
    keys = read_keys(body.get("key"), sets.family) if isinstance(body, dict) else None
    if keys is None:
        return _unclear(render_statement({"vmap": body}))
    data = body.get("data")
    if isinstance(data, str):
        found = sets.once(("vmap", data, keys), lambda: _read_map(sets.raw(data), keys, chains))
    else:
        found = _read_map(sets.raw(data), keys, chains)
    return _unclear(render_statement({"vmap": body})) if found is None else [*implied_by(keys), found]


def _read_map(entries: list[Any] | None, keys: tuple[Key, ...], chains: frozenset[str]) -> VerdictMap | None:
    """The entries of a verdict map, the catch-all last. None when one of them is not understood."""
    found: list[tuple[tuple[Test, ...], Verdict]] = []
    last: list[tuple[tuple[Test, ...], Verdict]] = []
    if entries is None:
        return None
    for entry in entries:
        element = read_element(entry[0], keys) if isinstance(entry, list) and len(entry) == 2 else None
        verdict = _verdict(entry[1], chains) if element is not None else None
        if element is None or verdict is None:
            return None
        (last if unwrapped(entry[0]) == "*" else found).append((element, verdict))
    return VerdictMap(tuple(key.field for key in keys), tuple(found + last))


def _reject(body: Any, sets: Sets, _chains: frozenset[str]) -> list[Statement]:
    """`reject`: the kind of answer takes a protocol or a version for granted, as nft adds that test silently."""
    default = {"ip": "icmp", "ip6": "icmpv6"}.get(sets.family, "icmpx")
    kind, word = (body.get("type"), body.get("expr")) if isinstance(body, dict) else (default, "port-unreachable")
    if kind == "tcp reset":
        return [Compare(Field.PROTOCOL, exactly(TCP)), Reject("tcp-reset")]
    reply = NFT_REPLIES.get(str(kind), {}).get(str(word))
    if reply is None:
        return _unclear(render_statement({"reject": body}))
    return [*version_test(str(kind), sets.family), Reject(reply)]


def _translate(kind: str) -> Read:
    def read(body: Any, sets: Sets, _chains: frozenset[str]) -> list[Statement]:
        found = body if isinstance(body, dict) else {}
        address, port = found.get("addr"), found.get("port")
        exact = (address is None or isinstance(address, str)) and (port is None or isinstance(port, int))
        exact = exact and found.get("type_flags") is None and found.get("flags") != "netmap"
        action = Translate(kind, address or "", port) if exact else Translate(kind, exact=False)
        return [*version_test(str(found.get("family")), sets.family), action]

    return read


def _xt(body: Any, _sets: Sets, _chains: frozenset[str]) -> list[Statement]:
    kind, name = (body.get("type"), body.get("name")) if isinstance(body, dict) else (None, None)
    if kind == "match":
        text = f"{XT_MATCH}{name}"
        return [Pass(text)] if name == "comment" else [Unsure(text, f"{text}: {_HIDDEN}")]
    if kind in ("target", "watcher"):
        text = f"{XT_TARGET}{name}"
        return [*opaque(str(name), text, f"{text}: {_HIDDEN}")]
    return _unclear(render_statement({"xt": body}))


def _write(body: Any, sets: Sets, _chains: frozenset[str]) -> list[Statement]:
    return [*read_write(body, sets.family)]


def _notrack(_body: Any, _sets: Sets, _chains: frozenset[str]) -> list[Statement]:
    return [NoTrack()]


_VERDICTS: dict[str, Verdict] = {"accept": Accept(), "drop": Drop(), "return": Return(), "continue": Pass("continue")}
_READERS: dict[str, Read] = {
    "mangle": _write,
    "match": _match,
    "notrack": _notrack,
    "reject": _reject,
    "vmap": _vmap,
    "xt": _xt,
    **{name: _translate(name) for name in ("dnat", "snat", "redirect", "masquerade")},
}
