"""What the targets of iptables do, as statements. Semantics are the kernel's (net/netfilter/xt_*.c).

A target that is not known here may do anything: it becomes `Unclear`, behind a `Forget` of what it might have rewritten.
"""

from collections.abc import Callable
from functools import lru_cache

from agent.analysis.readers.icmp_types import parse_reply
from agent.analysis.readers.iptables_options import Extension, Option
from agent.analysis.readers.mark_targets import read_connmark, read_mark
from agent.analysis.readers.nat_targets import read_nat
from agent.model.packet import Field
from agent.model.ruleset import Accept, Action, Drop, Forget, Jump, NoTrack, Pass, Reject, Return, Unclear

_BOTH_MARKS = (Field.MARK, Field.CT_MARK)
# They look at the packet, or change what no rule here asks for, and go on.
PASSING = {
    "ACCOUNT", "AUDIT", "CHECKSUM", "CLASSIFY", "CONNSECMARK", "ECN", "IDLETIMER", "LED", "LOG", "NFLOG", "RATEEST",
    "SECMARK", "SET", "TCPMSS", "TCPOPTSTRIP", "TEE", "TRACE", "ULOG",
}  # fmt: skip
# They rewrite a field and go on.
REWRITING: dict[str, tuple[Field, ...]] = {
    "CONNMARK": _BOTH_MARKS, "DSCP": (Field.DSCP,), "HL": (Field.TTL,), "HMARK": (Field.MARK,), "MARK": (Field.MARK,),
    "TOS": (Field.DSCP,), "TTL": (Field.TTL,),
}  # fmt: skip
_WHY = {
    "QUEUE": "a program in user space decides",
    "NFQUEUE": "a program in user space decides",
    "TPROXY": "whether a local socket listens decides",
    "SYNPROXY": "the SYN proxy's handshake decides",
}


def read_target(target: Extension, goto: bool, family: str, chains: frozenset[str]) -> tuple[Action, ...]:
    """The statements of `-j NAME ...` or `-g CHAIN`. `chains` are the table's chains: a chain hides a target of its name."""
    return _read(target.name, tuple(target.options), goto, family, target.name in chains)


@lru_cache(maxsize=4096)
def _read(name: str, options: tuple[Option, ...], goto: bool, family: str, chain: bool) -> tuple[Action, ...]:
    target = Extension(name, list(options))
    if name in _VERDICTS and not goto:
        return (Unclear(str(target), f"{name} takes no options"),) if options else (_VERDICTS[name],)
    if chain:
        unread = f"options after the jump are not understood: {target}"
        return (Unclear(str(target), unread),) if options else (Jump(name, goto),)
    if goto:
        return (Unclear(str(target), f"there is no chain {name}"),)
    if name in _READERS:
        return tuple(_READERS[name](target, family))
    return tuple([Pass(str(target))] if name in PASSING else opaque(name, str(target)))


def opaque(name: str, text: str, why: str = "") -> list[Action]:
    """A target of which no more than the name is known, as far as the name alone tells what it does."""
    if name in PASSING and name != "SET":
        return [Pass(text)]
    if name in REWRITING:
        return [Forget(REWRITING[name], text, why or f"what {text} writes is not understood by this version")]
    why = _WHY.get(name) or why or f"there is no chain {name}, and the target is not understood by this version"
    return [Forget(_BOTH_MARKS, text, why), Unclear(text, why)]


def _reject(target: Extension, family: str) -> list[Action]:
    word = next((each.value for each in target.options if each.name == "--reject-with"), "port-unreach")
    reply = parse_reply(word, family)
    if reply is None or any(each.name != "--reject-with" for each in target.options):
        return [Unclear(str(target), f"the answer of {target} is not understood by this version")]
    return [Reject(reply)]


def _notrack(_target: Extension, _family: str) -> list[Action]:
    return [NoTrack()]


def _ct(target: Extension, _family: str) -> list[Action]:
    return [NoTrack() if any(each.name == "--notrack" for each in target.options) else Pass(str(target))]


def _rewrite(target: Extension, _family: str) -> list[Action]:
    return [Forget(REWRITING[target.name], str(target), f"{target.name} rewrites the field")]


def _set(target: Extension, _family: str) -> list[Action]:
    if any(each.name == "--map-mark" for each in target.options):
        return [Forget((Field.MARK,), str(target), "the mark comes from an ipset")]
    return [Pass(str(target))]


_VERDICTS: dict[str, Action] = {"ACCEPT": Accept(), "DROP": Drop(), "RETURN": Return()}
_READERS: dict[str, Callable[[Extension, str], list[Action]]] = {
    "CONNMARK": read_connmark,
    "CT": _ct,
    "MARK": read_mark,
    "NOTRACK": _notrack,
    "REJECT": _reject,
    "SET": _set,
    **dict.fromkeys(("DNAT", "SNAT", "REDIRECT", "MASQUERADE", "NETMAP"), read_nat),
    **dict.fromkeys(("DSCP", "HL", "HMARK", "TOS", "TTL"), _rewrite),
}
