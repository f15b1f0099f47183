"""nft's tables in the twin: its JSON made loadable, read back, compared and counted.

The JSON of `nft list` is not quite what `nft -f` takes: handles and counters belong to the node, `flags owner` would end the
table with its loader, chains and sets must stand before the rules that name them. Every rule gets a counter directly before
its last word and every base chain one at its end, so that the rules met can be read off; a counter decides nothing.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from agent.host import command
from agent.model.ruleset import Backend
from agent.model.twin import TwinRule

_FILTERED = {4: ("ip", "inet"), 6: ("ip6", "inet")}
# Objects that must exist before others name them come first; chains before all, since sets may hold jumps to them.
_ORDER = ("table", "chain", "ct helper", "ct timeout", "ct expectation", "counter", "quota", "limit", "secmark", "synproxy")
_THEN = ("flowtable", "set", "map", "element", "rule")
_ENDINGS = frozenset(("accept", "drop", "reject", "jump", "goto", "return", "vmap", "queue", "continue"))
_ZERO = {"counter": {"packets": 0, "bytes": 0}}
_MARK = "kubereach twin: the end of the chain"
_LIST = ("nft", "-j", "list", "ruleset")
_DEADLINE = 3.0

Table = tuple[str, str]
Object = tuple[str, dict[str, Any]]


def read(text: str) -> tuple[Object, ...]:
    """The objects of a listing as (kind, body). Raises `ValueError` on what is no listing of nft's."""
    try:
        return tuple(_object(item) for item in json.loads(text)["nftables"] if "metainfo" not in item)
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"this is no listing of nft's: {error}") from error


def tables(objects: Iterable[Object]) -> tuple[Table, ...]:
    """Every table as (family, name)."""
    return tuple((body["family"], body["name"]) for kind, body in objects if kind == "table")


def of_table(objects: Iterable[Object], table: Table) -> tuple[Object, ...]:
    """The objects of one table, itself among them."""
    return tuple(item for item in objects if _table(item) == table)


def concerns(table: Table, version: int) -> bool:
    """Whether a packet of that IP version may meet the table in the hooks of its family."""
    return table[0] in _FILTERED[version]


def outside(objects: Iterable[Object], iif: str, ports: Sequence[str]) -> Iterator[str]:
    """A sentence for each chain that sees frames before the IP layer does: bridge and ingress hooks, which are not modelled."""
    for kind, body in objects:
        if kind != "chain" or "hook" not in body:
            continue
        devices = body.get("dev", ())
        devices = (devices,) if isinstance(devices, str) else devices
        early = body["hook"] == "ingress" and (iif in devices or not set(devices).isdisjoint(ports))
        if early or (body["family"] == "bridge" and ports):
            yield f"the chain {body['family']} {body['table']} {body['name']} is not in it"


def uses_xt(objects: Iterable[Object]) -> bool:
    """Whether a rule here holds what only iptables can print and load."""
    return any("xt" in statement for kind, body in objects if kind == "rule" for statement in body["expr"])


def looks_up(objects: Iterable[Object]) -> Iterator[str]:
    """Names of interfaces that rules hold by index (`iif`, `oif`): nft loads such a rule only where the interface exists."""
    for kind, body in objects:
        for statement in body["expr"] if kind == "rule" else ():
            match = statement.get("match")
            if isinstance(match, dict) and _meta(match.get("left")) in ("iif", "oif"):
                yield from _strings(match.get("right"))


def load(objects: Iterable[Object]) -> str:
    """Loads whole tables in one transaction. Returns what went wrong, or nothing."""
    prepared = [{"add": {kind: body}} for kind, body in _prepared(objects)]
    return _run(prepared) if prepared else ""


def _run(commands: list[dict[str, Any]]) -> str:
    data = json.dumps({"nftables": commands}).encode("utf-8", "surrogateescape")
    done = command.run(("nft", "-j", "-f", "-"), data, _DEADLINE)
    if done.status == 0:
        return ""
    first = next((line for line in done.stderr.decode("utf-8", "replace").splitlines() if line.strip()), "")
    return done.problem or first or f"nft ended with status {done.status}"


def watch(chains: Iterable[tuple[str, str, str]]) -> str:
    """A counter into each chain (family, table, name): whether the packet came there. Returns what went wrong, or nothing."""
    rules = [
        {"add": {"rule": {"family": family, "table": table, "chain": name, "expr": [_ZERO]}}} for family, table, name in chains
    ]
    return _run(rules) if rules else ""


def listing() -> tuple[Object, ...]:
    """The twin's own tables. Raises `ValueError` where nft does not list them."""
    done = command.run(_LIST, timeout=_DEADLINE)
    return read(done.stdout.decode("utf-8", "surrogateescape") if done.status == 0 else "{}")


def differences(original: Sequence[Object], twin: Sequence[Object], table: Table) -> Iterator[str]:
    """A sentence where the table's chains or rules did not come out of the twin as they stand on the node."""
    name = f"{table[0]} {table[1]}"
    if _chains(original, table) - _chains(twin, table):
        yield f"a chain of the table {name} reads otherwise once it is loaded again"
    ours, theirs = _rules(original, table), _rules(twin, table)
    for chain, rules in ours.items():
        others = theirs.get(chain, [])
        pairs = zip(rules, others, strict=False)
        if len(rules) != len(others) or not all(_same(one, other) for one, other in pairs):
            yield f"the chain {chain} of the table {name} reads otherwise once it is loaded again"


def counted(objects: Sequence[Object], loaded: Sequence[Table]) -> Iterator[TwinRule]:
    """The rules whose counters are not zero, and the policies that were reached, of tables that `load` has loaded."""
    for table in loaded:
        numbers: dict[str, int] = {}
        for body in (body for kind, body in of_table(objects, table) if kind == "rule"):
            policy = body.get("comment") == _MARK
            numbers[body["chain"]] = numbers.get(body["chain"], 0) + (not policy)
            packets = max((_packets(statement) for statement in body["expr"]), default=0)
            if packets:
                yield TwinRule(
                    backend=Backend.NFT,
                    family=table[0],
                    table=table[1],
                    chain=body["chain"],
                    rule_number=None if policy else numbers[body["chain"]],
                    policy=policy,
                    packets=packets,
                )


def ending_of(objects: Sequence[Object], rule: TwinRule) -> Any:
    """The last statement of the rule; for a policy `{policy: None}`."""
    table = (rule.family, rule.table)
    if rule.policy:
        found = (body for kind, body in of_table(objects, table) if kind == "chain" and body["name"] == rule.chain)
        return {next(found, {}).get("policy", "accept"): None}
    own = _rules(objects, table).get(rule.chain, [])
    return (
        own[rule.rule_number - 1][-1] if rule.rule_number and rule.rule_number <= len(own) and own[rule.rule_number - 1] else {}
    )


def remembering(objects: Iterable[Object]) -> tuple[str, ...]:
    """Words of native rules that depend on the kernel's memory or on chance."""
    text = json.dumps([body["expr"] for kind, body in objects if kind == "rule"])
    return tuple(word for word in ("limit", "quota", "ct count", "numgen", "ether") if f'"{word}"' in text)


def _object(item: dict[str, Any]) -> Object:
    ((kind, body),) = item.items()
    return kind, body


def _prepared(objects: Iterable[Object]) -> Iterator[Object]:
    order = {kind: index for index, kind in enumerate((*_ORDER, *_THEN))}
    listed = [item for item in objects if item[0] in order]
    for kind, body in sorted(listed, key=lambda item: order[item[0]]):
        fresh = {key: value for key, value in body.items() if key not in ("handle", "index")}
        if kind == "rule":
            fresh["expr"] = _counting(body["expr"])
        elif kind == "counter":
            fresh |= {"packets": 0, "bytes": 0}
        elif kind == "table" and "flags" in fresh:
            flags = [fresh["flags"]] if isinstance(fresh["flags"], str) else fresh["flags"]
            fresh["flags"] = [flag for flag in flags if flag != "owner"]
        yield kind, fresh
    for kind, body in listed:
        if kind == "chain" and "hook" in body:
            place = {"family": body["family"], "table": body["table"], "chain": body["name"]}
            yield "rule", {**place, "comment": _MARK, "expr": [_ZERO]}


def _counting(statements: Sequence[Any]) -> list[Any]:
    bare = _uncounted(statements)
    ends = bool(bare) and isinstance(bare[-1], dict) and not _ENDINGS.isdisjoint(bare[-1])
    return [*bare[:-1], _ZERO, bare[-1]] if ends else [*bare, _ZERO]


def _uncounted(statements: Sequence[Any]) -> list[Any]:
    """Without anonymous counters; a named one is an object of its own and stays."""
    return [item for item in statements if not (isinstance(item, dict) and _is_counter(item))]


def _is_counter(statement: Mapping[str, Any]) -> bool:
    return "counter" in statement and not isinstance(statement["counter"], str)


def _packets(statement: Any) -> int:
    counter = statement.get("counter") if isinstance(statement, dict) else None
    return int(counter["packets"]) if isinstance(counter, dict) else 0


def _table(item: Object) -> Table:
    kind, body = item
    return body["family"], body["name"] if kind == "table" else body["table"]


def _chains(objects: Sequence[Object], table: Table) -> set[str]:
    chains = (body for kind, body in of_table(objects, table) if kind == "chain")
    return {json.dumps({key: value for key, value in body.items() if key != "handle"}, sort_keys=True) for body in chains}


def _rules(objects: Sequence[Object], table: Table) -> dict[str, list[list[Any]]]:
    found: dict[str, list[list[Any]]] = {}
    for kind, body in of_table(objects, table):
        if kind == "rule" and body.get("comment") != _MARK:
            found.setdefault(body["chain"], []).append(_uncounted(body["expr"]))
    return found


def _same(ours: Sequence[Any], theirs: Sequence[Any]) -> bool:
    """Equal; or, where the node's rule hides parts in `xt`, everything that it does show stands in the twin's too."""
    if ours == theirs:
        return True
    shown = [item for item in ours if "xt" not in item]
    return len(shown) < len(ours) and all(item in theirs for item in shown)


def _meta(left: Any) -> Any:
    meta = left.get("meta") if isinstance(left, dict) else None
    return meta.get("key") if isinstance(meta, dict) else None


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)
    elif isinstance(value, dict):
        yield from _strings(value.get("set"))
