"""The live firewall as far as it counts for some packets: the whole where it is small, else the chains they can come to.

The broker parses nothing, so it is asked in rounds: base chains first, then the chains that what was read leads to, until
nothing is missing. All rounds are of one generation of nftables, or the reading begins again.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from agent.analysis.path.reach import Asked, find_unread
from agent.analysis.readers.read import read_firewall, read_parts
from agent.host.operations import MOST_PARTS
from agent.model.capture import IPSET_SAVE, NFT_JSON, Firewall, PartReading, Reading
from agent.model.outline import Outline, Part
from agent.model.ruleset import Chain, Ruleset
from agent.service.host import Host, HostError

# A node whose rules change more often than this within a look is not to be read in parts.
ATTEMPTS = 5
# Beyond this the whole is read sooner than its parts.
_MOST = 1000
# A request to the broker has 64 KiB.
_AT_ONCE = 100
_MOVING = f"the rules of nftables changed during each of {ATTEMPTS} readings"


class _Changed(Exception):  # noqa: N818  says what happened
    """The rules are not those of the outline any more."""


def read_for(host: Host, asked: Sequence[Asked], survey: Firewall | None = None) -> Firewall:
    """What counts for these packets and their answers, beginning with a `survey` that was just made.

    Where nftables changes all the time the reading says so and holds none of its rules. Raises `HostError`, `BrokerGone`.
    """
    for _ in range(ATTEMPTS):
        firewall, survey = survey or host.survey(), None
        if firewall.outline is None:
            return firewall
        try:
            found = _read(host, firewall, firewall.outline, asked)
        except _Changed:
            continue
        return host.firewall() if found is None else found
    return replace(_without(firewall), readings=(*firewall.readings, _unstable()))


def read_again(host: Host, before: Firewall, asked: Sequence[Asked]) -> Firewall:
    """The same with the counters of now; read anew where the rules are others by now."""
    outline, parts = before.outline, [item.part for item in before.parts]
    if outline is None:
        return host.firewall()
    alone = not before.readings and bool(parts)
    firewall = replace(before, parts=()) if alone else host.survey()
    if firewall.outline is None or firewall.outline.generation != outline.generation:
        return read_for(host, asked)
    try:
        return _with(host, replace(firewall, parts=()), outline, parts, alone=alone)
    except _Changed:
        return read_for(host, asked)


def parts_of(firewall: Firewall) -> tuple[Part, ...]:
    """What was read of nftables where it was read in part."""
    return tuple(item.part for item in firewall.parts)


def name_of(host: Host, firewall: Firewall) -> str:
    """The name by which the twin knows these rules. Raises `HostError`, `BrokerGone`."""
    if firewall.outline is None:
        return firewall.digest()
    return hold(host, parts_of(firewall))


def hold(host: Host, parts: Sequence[Part], *, whole: bool = False) -> str:
    """As `Host.hold`. Raises `HostError` where so many parts count that they cannot be named in one request."""
    if len(parts) > MOST_PARTS:
        raise HostError(f"the packet can come to {len(parts)} chains and sets, and the twin takes {MOST_PARTS}")
    return host.hold(parts, whole=whole)


def _read(host: Host, firewall: Firewall, outline: Outline, asked: Sequence[Asked]) -> Firewall | None:
    """None where the whole has to be read. Raises `_Changed`."""
    known = _Known(firewall)
    new: set[Part] = set()
    while True:
        lacking = known.learn(firewall, outline, new)
        held = {item.part for item in firewall.parts}
        wanted = find_unread(known.ruleset, asked)
        parts = {Part(kind="chain", family=family, table=table, name=name) for family, table, name in wanted.chains}
        # What a set or map holds decides which chains are wanted: without it, all that its rule may lead to.
        new = (lacking - held) or (parts - held)
        if wanted.everything or len(held | new) > _MOST:
            return None
        if not new:
            return firewall
        firewall = _with(host, firewall, outline, sorted(new, key=_order))


class _Known:
    """The rules as far as they were understood: each round understands what it has read, and what was read before it stays."""

    def __init__(self, firewall: Firewall) -> None:
        # Packets meet the other backend's rules as well.
        self._legacy = read_firewall(_without(firewall)).tables if firewall.readings else ()
        self._chains: dict[tuple[str, str], dict[str, Chain]] = {}
        self._waiting: set[Part] = set()
        self.ruleset = Ruleset(())

    def learn(self, firewall: Firewall, outline: Outline, new: set[Part]) -> set[Part]:
        """Takes in the parts of this round; the sets that their rules lack, with which they are to be understood again."""
        fresh = new | self._waiting
        parts = tuple(item for item in firewall.parts if item.part in fresh or item.part.kind != "chain")
        nft, found = read_parts(replace(firewall, parts=parts), outline)
        self._waiting = fresh if found.lacking else set()
        tables = []
        for table in nft.tables:
            chains = self._chains.setdefault((table.family, table.name), {})
            chains.update({chain.name: chain for chain in table.chains if not (chain.unread and chain.name in chains)})
            tables.append(replace(table, chains=tuple(chains.values())))
        self.ruleset = Ruleset((*self._legacy, *tables))
        return found.lacking


def _with(host: Host, firewall: Firewall, outline: Outline, wanted: Sequence[Part], *, alone: bool = False) -> Firewall:
    """The firewall with these parts, too. `alone`: whether there are legacy tables by now is not known. Raises `_Changed`."""
    parts: list[PartReading] = []
    sets: Iterable[Reading] = ()
    for start in range(0, len(wanted), _AT_ONCE):
        answer = host.parts(outline.generation, wanted[start : start + _AT_ONCE])
        if answer.parts is None or (alone and answer.legacy):
            raise _Changed
        parts += answer.parts
        sets = answer.sets or sets
    others = tuple(each for each in firewall.readings if each.name != IPSET_SAVE) if sets else firewall.readings
    return replace(firewall, readings=(*others, *sets), parts=(*firewall.parts, *parts))


def _without(firewall: Firewall) -> Firewall:
    return replace(firewall, outline=None, parts=())


def _unstable() -> Reading:
    return Reading(name=NFT_JSON, argv=("nft", "-j", "list", "chain"), status=None, problem=_MOVING)


def _order(part: Part) -> tuple[str, str, str, str]:
    return part.kind, part.family, part.table, part.name
