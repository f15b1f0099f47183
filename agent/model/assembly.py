"""nftables out of its outline and the parts that were read: the same objects as a whole listing has, as far as they are known.

Tables and chains stand in the order of their handles, which is that of the kernel's own listing. A chain that was not read is
there by its name alone and marked as unread, so that nobody takes it for an empty one.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from agent.model.capture import Firewall, PartReading, Reading
from agent.model.outline import Outline, OutlineChain, OutlineTable, Part

_NETDEV = ("ingress", "egress")
_HOOKS = {"netdev": _NETDEV, "arp": ("input", "output", "forward")}
_IP_HOOKS = ("prerouting", "input", "forward", "output", "postrouting", "ingress")
_FLAGS = {1: "dormant", 2: "owner", 4: "persist"}  # enum nft_table_flags
_POLICIES = {0: "drop", 1: "accept"}
# `-S -v` prints the counter once, before the target. Where a comment says the same, the line is left as it is.
_COUNT = re.compile(r" -c (\d+) (\d+)(?= |$)")
_INCOMPATIBLE = "is incompatible"


@dataclass(slots=True)
class Assembled:
    """Objects of a listing; text as iptables-save has it by family; what is not in either.

    `unread` are chains as (family, table, name). `lacking` are sets and maps that rules name and nobody has read.
    `incompatible` are tables that iptables cannot show, `failed` the readings that did not succeed.
    """

    items: list[Any] = field(default_factory=list)
    saves: dict[str, str] = field(default_factory=dict)
    unread: set[tuple[str, str, str]] = field(default_factory=set)
    lacking: set[Part] = field(default_factory=set)
    incompatible: dict[tuple[str, str], None] = field(default_factory=dict)
    failed: list[Reading] = field(default_factory=list)


def assemble(firewall: Firewall, outline: Outline) -> Assembled:
    """The parts of this firewall put together. Never raises: what is no listing has failed, and its chain is unread."""
    found = Assembled()
    listings = {item.part: list(_objects(item, found)) for item in firewall.parts}
    named = {_place(chain): _chain(chain) for chain in outline.chains}
    for part, objects in listings.items():
        named |= {(part.family, part.table, _name(body)): body for kind, body in objects if kind == "chain"}
    read = {(part.family, part.table, part.name) for part, objects in listings.items() if part.kind == "chain" and objects}
    for part, objects in listings.items():
        for target in _targets([body for _, body in objects]):
            place = (part.family, part.table, target)
            named.setdefault(place, {"family": part.family, "table": part.table, "name": target})
        rules = [body.get("expr") for kind, body in objects if kind == "rule"]
        found.lacking |= set(_references(part, rules)) - listings.keys()
    found.unread = set(named) - read
    found.items += [{"table": _table(table)} for table in sorted(outline.tables, key=lambda each: each.handle)]
    found.items += [{"chain": body} for body in sorted(named.values(), key=_age)]
    found.items += [{kind: body} for objects in listings.values() for kind, body in objects if kind != "chain"]
    hooked = {_place(chain) for chain in outline.chains if chain.hook is not None}
    _save(firewall.parts, found, found.unread - hooked)
    return found


def _objects(item: PartReading, found: Assembled) -> Iterator[tuple[str, dict[str, Any]]]:
    if item.listing.status != 0:
        found.failed.append(item.listing)
        return
    try:
        listing = json.loads(item.listing.stdout)["nftables"]
        pairs = [next(iter(each.items())) for each in listing]
    except (ValueError, RecursionError, TypeError, KeyError, AttributeError, StopIteration):
        found.failed.append(item.listing)
        return
    yield from ((kind, body) for kind, body in pairs if kind != "metainfo" and isinstance(body, dict))


def _save(parts: Iterable[PartReading], found: Assembled, named: Iterable[tuple[str, str, str]]) -> None:
    """What iptables printed, as tables; user chains that are known by name alone are declared there."""
    texts: dict[tuple[str, str], list[str]] = {}
    for item in parts:
        if item.save is None:
            continue
        table = (item.part.family, item.part.table)
        if item.save.status == 0:
            texts.setdefault(table, []).append(_counted(item.save.stdout))
        elif _INCOMPATIBLE in item.save.stderr:
            found.incompatible[table] = None
        else:
            found.failed.append(item.save)
    for (family, name), lines in texts.items():
        if (family, name) not in found.incompatible:
            others = "".join(f":{chain} - [0:0]\n" for *of, chain in sorted(named) if of == [family, name])
            section = f"*{name}\n{others}{''.join(lines)}COMMIT\n"
            found.saves[family] = found.saves.get(family, "") + section


def _counted(text: str) -> str:
    """The rules of `-S -v` with their counters in front, as iptables-save prints them."""
    lines = []
    for line in text.split("\n"):
        counts = _COUNT.findall(line) if line.startswith("-A ") else []
        if len(counts) == 1:
            packets, size = counts[0]
            lines.append(f"[{packets}:{size}] {_COUNT.sub('', line)}")
        else:
            lines.append(line)
    return "\n".join(lines)


def _name(body: Mapping[str, Any]) -> str:
    return str(body.get("name"))


def _place(chain: OutlineChain) -> tuple[str, str, str]:
    return chain.family, chain.table, chain.name


def _age(body: Mapping[str, Any]) -> float:
    handle = body.get("handle")
    return handle if isinstance(handle, int) else float("inf")


def _table(table: OutlineTable) -> dict[str, Any]:
    words = [word for bit, word in _FLAGS.items() if table.flags & bit]
    rest = table.flags & ~sum(_FLAGS)
    flags = [*words, *([f"{rest:#x}"] if rest else [])]
    return {"family": table.family, "name": table.name, "handle": table.handle, **({"flags": flags} if flags else {})}


def _chain(chain: OutlineChain) -> dict[str, Any]:
    """As nft prints it. A hook or policy that has no name here is kept as its number, which no reader takes for one."""
    body: dict[str, Any] = {"family": chain.family, "table": chain.table, "name": chain.name, "handle": chain.handle}
    if chain.hook is not None:
        hooks = _HOOKS.get(chain.family, _IP_HOOKS)
        body |= {
            "type": chain.kind,
            "hook": hooks[chain.hook] if chain.hook < len(hooks) else chain.hook,
            "prio": chain.priority,
            "policy": _POLICIES.get(chain.policy, chain.policy),
        }
    return body


def _targets(data: Any) -> Iterator[str]:
    """The chains that rules or a map's elements lead to."""
    todo = [data]
    while todo:
        each = todo.pop()
        if isinstance(each, dict):
            for word in ("jump", "goto"):
                body = each.get(word)
                if isinstance(body, dict) and isinstance(body.get("target"), str):
                    yield body["target"]
            todo += each.values()
        elif isinstance(each, list):
            todo += each


def _references(part: Part, data: Any) -> Iterator[Part]:
    """The sets and maps that rules name as `@name`: what stands behind `vmap` or `map` is a map."""
    todo: list[tuple[str, Any]] = [("set", data)]
    while todo:
        kind, each = todo.pop()
        if isinstance(each, str) and each.startswith("@"):
            yield Part(kind=kind, family=part.family, table=part.table, name=each[1:])
        elif isinstance(each, dict):
            for word, body in each.items():
                if word in ("vmap", "map") and isinstance(body, dict):
                    todo += [("map" if name in ("data", "map") else "set", value) for name, value in body.items()]
                else:
                    todo.append((kind if word == "map" else "set", body))
        elif isinstance(each, list):
            todo += [(kind, item) for item in each]
