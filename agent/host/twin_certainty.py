"""Whether the same rules would do the same to the same packet again, so that what the twin saw may be kept.

Only what the packet came to counts: a random choice in a chain that no rule led to has decided nothing. The twin starts from
nothing (no connection, no bucket half empty), so that a rule of the words below has one answer for one packet. Every other word
may hang on chance, on time, on memory or on the processor that is at work, or is not known here: then nothing is kept.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from agent.host.twin_nft import Object, Table, of_table

# Of iptables: what asks for the packet, its way, its connection's state, or for sets and addresses as they were loaded.
_MATCHES = re.compile(
    "addrtype|comment|connmark|conntrack|dscp|esp|hl|icmp|icmp6|iprange|ipv6-icmp|length|mark|multiport|owner|physdev|pkttype"
    "|policy|rpfilter|sctp|set|socket|state|tcp|tos|ttl|udp"
)
# What ends a packet's way, marks it or writes a line. NAT is not among them: it draws ports.
_TARGETS = re.compile("ACCEPT|CONNMARK|CT|DROP|LOG|MARK|NFLOG|NOTRACK|REJECT|RETURN")
# A time within an option of a match that is plain otherwise (xt_conntrack).
_TIMED = re.compile(r" --ctexpire ")
_CHAIN = re.compile(r":(\S+) (\S+)")
_RULE = re.compile(r"\[(\d+):\d+\] -A (\S+)")
_MATCH, _TARGET = re.compile(r" -m (\S+)"), re.compile(r" -[jg] (\S+)")
# Members of ipset that end by themselves; 0 stands for never.
_ENDS = re.compile(r" timeout [1-9]")
# Of nft, likewise: every key in a statement must be one of these.
_WORDS = re.compile(
    r"match|op|left|right|payload|protocol|field|base|offset|len|meta|ct|key|dir|fib|result|flags|prefix|addr|set|range|concat"
    r"|elem|val|comment|counter|packets|bytes|accept|drop|reject|type|expr|return|continue|jump|goto|target|vmap|data|log|level"
    r"|group|mangle|value|notrack|[&|^]|<<|>>"
)
_KEYS = {
    "meta": re.compile("[io]if(name|group|type)?|ibr(idge)?name|l4proto|length|mark|nfproto|pkttype|protocol|skgid|skuid"),
    "ct": re.compile("daddr|direction|helper|l3proto|mark|proto-(dst|src)|protocol|saddr|state|status|zone"),
}


def is_certain_text(section: str) -> bool:
    """Of one table as iptables' save prints it after the packet, counters included."""
    chains = {match[1]: match[2] for line in section.splitlines() if (match := _CHAIN.match(line))}
    rules = [(match, line) for line in section.splitlines() if (match := _RULE.match(line))]
    met = [line for match, line in rules if match[1] != "0"]
    targets = {target for line in met for target in _TARGET.findall(line)}
    came_to = {chain for chain, policy in chains.items() if policy != "-"} | targets
    asked = [line for match, line in rules if match[2] in came_to]
    return (
        all(map(_TARGETS.fullmatch, targets - chains.keys()))
        and all(_MATCHES.fullmatch(word) for line in asked for word in _MATCH.findall(line))
        and not any(map(_TIMED.search, asked))
    )


def is_certain_set(text: str) -> bool:
    """Of `ipset save`, where rules ask for sets."""
    return not _ENDS.search(text)


def is_certain_table(objects: Sequence[Object], table: Table) -> bool:
    """Of one table of nft's that the twin loaded from JSON, as it lists it after the packet."""
    own = of_table(objects, table)
    members = {body["name"]: body.get("elem", []) for kind, body in own if kind in ("set", "map")}
    rules: dict[str, list[Sequence[Any]]] = {}
    for body in (body for kind, body in own if kind == "rule"):
        rules.setdefault(body["chain"], []).append(_ran(body["expr"]))
    waiting = [body["name"] for kind, body in own if kind == "chain" and "hook" in body]
    came_to: set[str] = set()
    while waiting:
        chain = waiting.pop()
        if chain not in came_to:
            came_to.add(chain)
            waiting += _targets(rules.get(chain, []), members)
    return all(map(_is_plain, members.values())) and all(_is_plain(rules.get(chain, [])) for chain in came_to)


def _ran(statements: Sequence[Any]) -> Sequence[Any]:
    """Those that may have run: the twin's counter stands before the last word, and tells whether that was come to."""
    for index, item in enumerate(statements):
        if isinstance(item, dict) and isinstance(item.get("counter"), dict):
            return statements if item["counter"]["packets"] else statements[:index]
    return statements


def _targets(item: Any, members: Mapping[str, Any]) -> Iterator[str]:
    """The chains that these statements may lead to, by verdict maps with a name too."""
    if isinstance(item, str) and item.startswith("@"):
        yield from _targets(members.get(item[1:], []), {})
    elif isinstance(item, dict):
        if isinstance(item.get("target"), str):
            yield item["target"]
        yield from _targets(list(item.values()), members)
    elif isinstance(item, list):
        for each in item:
            yield from _targets(each, members)


def _is_plain(item: Any) -> bool:
    if isinstance(item, dict):
        return all(_is_known(word, value) for word, value in item.items())
    return not isinstance(item, list) or all(map(_is_plain, item))


def _is_known(word: str, value: Any) -> bool:
    if word in _KEYS:
        return isinstance(value, dict) and bool(_KEYS[word].fullmatch(str(value.get("key"))))
    if word == "set" and not isinstance(value, list):
        return False  # no list of members, but a statement that adds one
    return bool(_WORDS.fullmatch(word)) and _is_plain(value)
