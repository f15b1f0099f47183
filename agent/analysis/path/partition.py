"""A whole network of sources at once: which of its addresses get through, and which rule decides about each.

Why this is exact and not a sample. The walk is a deterministic function of the ruleset and of the packet's fields, and it
meets the source address in these ways only: through tests of the source (in the rules' comparisons, sets and verdict maps,
and through the connection's own memory of it); through the type of the source, which depends on a few constants of the
kernel, on the node's own addresses and on the destination; and through source NAT, which asks whether it changes anything. By
induction over the walk's steps two sources for which all of these answers are the same take the same way, and end by the same
rule. So the network is cut until on every piece each of these questions has one answer (`Span.passes`), and one address of
the piece is walked.

The cut is made where it is needed: halves of the network are looked at with the rules alone that any of their addresses can
match (`folding`), and a piece whose remaining rules do not tell its addresses apart is not cut further. A test that is no
range, such as `-s 10.0.0.5/255.0.0.255`, halves its piece at the highest bit in which the piece's addresses differ, down to
single addresses if need be: within 4,096 addresses that always ends. A network that falls into more than MAX_PIECES pieces is
not walked to the end; what is left of it is one UNDECIDED part, and the answer says so.

The way of the answer back to the client is not walked here: ask for one address to have that.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from agent.analysis.path.explain import describe_packet
from agent.analysis.path.folding import Folded, Folding
from agent.analysis.path.hooks import link_chains
from agent.analysis.path.references import refer
from agent.analysis.path.replies import errno_of
from agent.analysis.path.spans import Span
from agent.analysis.path.walk import walk
from agent.model.explanation import Assumption, Explanation, Part, RuleRef, Verdict
from agent.model.packet import TCP, Packet
from agent.model.ruleset import Hook, Intervals, Ruleset, Test, Translate
from agent.model.tri import Tri

Network = IPv4Network | IPv6Network

# At some tenths of a millisecond for a piece, half a minute; a pod network of 256 addresses has 256 pieces at most.
MAX_PIECES = 65_536
_HOOKS = (Hook.PREROUTING, Hook.INPUT)
# Where the type of an address changes by the kernel's constants (address_types).
_KINDS = {
    4: Intervals(((0, (1 << 24) - 1), (127 << 24, (128 << 24) - 1), (0xE0 << 24, (0xF0 << 24) - 1), (0xFFFFFFFF, 0xFFFFFFFF))),
    6: Intervals(((1, 1), (0xFF << 120, (1 << 128) - 1))),
}
_BELOW = "frames pass this chain before IP's own hooks; on which device it hangs is not modelled, so it was not walked"


@dataclass(frozen=True, slots=True)
class _Fate:
    """What becomes of the addresses of a piece. `walked` is False for those that were left out."""

    verdict: Verdict
    reply: str | None = None
    decided_by: RuleRef | None = None
    or_by: tuple[RuleRef, ...] = ()
    assumptions: tuple[Assumption, ...] = ()
    walked: bool = True


def explain_sources(ruleset: Ruleset, packet: Packet, sources: Network, *, most: int = MAX_PIECES) -> Explanation:
    """The packet walked to this node from every address of `sources`; its own source does not count.

    `most` is how many pieces are walked; what is left then is one UNDECIDED part.

    The verdict and all that belongs to it is what the parts have in common. Where their verdicts differ it is UNDECIDED, and
    each rule that decides about a part is an assumption: the answer hangs on the source. There are no `steps`.
    """
    span = Span(int(sources[0]), int(sources[-1]))
    below = tuple(Assumption(refer(*placed, None), _BELOW) for placed in link_chains(ruleset))
    walked = _walk(ruleset, packet, span, most)
    pieces = _merge((piece, _shake(fate, below, unread=bool(ruleset.unread))) for piece, fate in walked)
    parts = tuple(_part(piece, fate, packet) for piece, fate in pieces)
    told = _sum_up(parts)
    rest = [_unfinished(piece, packet.version, most) for piece, fate in pieces if not fate.walked]
    return Explanation(
        packet={**describe_packet(packet), "src": str(sources)},
        verdict=told.verdict,
        reject_with=told.reject_with,
        client_sees=told.client_sees,
        decided_by=told.decided_by,
        or_by=told.or_by,
        assumptions=told.assumptions,
        problems=tuple(dict.fromkeys((*ruleset.problems, *ruleset.unread, *rest))),
        unread=ruleset.unread,
        partition=parts,
    )


def _walk(ruleset: Ruleset, packet: Packet, span: Span, most: int) -> Iterator[tuple[Span, _Fate]]:
    """Pieces from the lowest address to the highest, every address in one."""
    folding = Folding(ruleset, packet, _HOOKS, span)
    always = (_KINDS[packet.version], _points(folding.start.ruleset, packet))
    todo: list[tuple[Span, Folded]] = [(span, folding.start)]
    pieces = 1
    while todo:
        piece, within = todo.pop()
        folded = folding.fold(within, piece)
        cut = _cut(piece, (*folded.tests, *always))
        if cut is None:
            walked = walk(folded.ruleset, replace(packet, source=_address(piece.low, packet.version)), _HOOKS)
            or_by = walked.or_by if walked.verdict is not Verdict.ACCEPT else ()
            yield piece, _Fate(walked.verdict, walked.reply, walked.decided_by, or_by, walked.assumptions)
        elif pieces >= most:
            yield Span(piece.low, span.high), _Fate(Verdict.UNDECIDED, walked=False)
            return
        else:
            pieces += 1
            todo += [(Span(cut, piece.high), folded), (Span(piece.low, cut - 1), folded)]


def _cut(span: Span, tests: tuple[Test, ...]) -> int | None:
    """Where to cut: of all places that answer something the middle one, so that many are dealt with in few cuts."""
    places = sorted(place for test in tests if span.passes(test) is Tri.UNKNOWN and (place := span.cut(test)) is not None)
    return places[len(places) // 2] if places else None


def _points(ruleset: Ruleset, packet: Packet) -> Intervals:
    """Addresses that the walk itself compares the source with."""
    written = {
        item.address
        for table in ruleset.tables
        for chain in table.chains
        for rule in chain.rules
        for item in rule.statements
        if isinstance(item, Translate) and item.address
    }
    found = {packet.destination, *packet.local, *(address for text in written if (address := _parse(text)) is not None)}
    return Intervals(
        tuple((number, number) for number in sorted({int(each) for each in found if each.version == packet.version}))
    )


def _parse(text: str) -> IPv4Address | IPv6Address | None:
    """None for what is no single address: the walk compares nothing with that either."""
    try:
        return ip_address(text)
    except ValueError:
        return None


def _shake(fate: _Fate, below: tuple[Assumption, ...], *, unread: bool) -> _Fate:
    """No ACCEPT is claimed where something may stop the packet that was not walked."""
    if fate.verdict is Verdict.UNDECIDED or (fate.verdict is Verdict.ACCEPT and (below or unread)):
        return _Fate(Verdict.UNDECIDED, assumptions=(*fate.assumptions, *below), walked=fate.walked)
    return fate


def _merge(pieces: Iterator[tuple[Span, _Fate]]) -> list[tuple[Span, _Fate]]:
    """Neighbours that fare alike as one."""
    merged: list[tuple[Span, _Fate]] = []
    for piece, fate in pieces:
        if merged and merged[-1][1] == fate:
            merged[-1] = Span(merged[-1][0].low, piece.high), fate
        else:
            merged.append((piece, fate))
    return merged


def _part(piece: Span, fate: _Fate, packet: Packet) -> Part:
    return Part(
        src=_name(piece, packet.version),
        addresses=piece.high - piece.low + 1,
        verdict=fate.verdict,
        reject_with=fate.reply,
        client_sees=_client_sees(fate, packet),
        decided_by=fate.decided_by,
        or_by=fate.or_by,
        assumptions=fate.assumptions,
    )


def _client_sees(fate: _Fate, packet: Packet) -> str | None:
    if packet.protocol != TCP:
        return None
    if fate.verdict is Verdict.DROP:
        return "ETIMEDOUT"
    return errno_of(fate.reply, packet.version) if fate.reply else None


def _sum_up(parts: tuple[Part, ...]) -> Part:
    """All parts as one: what they have in common."""
    first = parts[0]
    alike = {(part.verdict, part.reject_with, part.client_sees) for part in parts}
    rules = {part.decided_by for part in parts}
    hanging = tuple(dict.fromkeys(each for part in parts for each in part.assumptions))
    if len({part.verdict for part in parts}) > 1:
        return Part(src="", addresses=0, verdict=Verdict.UNDECIDED, assumptions=(*_told_apart(parts), *hanging))
    return Part(
        src="",
        addresses=0,
        verdict=first.verdict,
        reject_with=first.reject_with if len(alike) == 1 else None,
        client_sees=first.client_sees if len(alike) == 1 else None,
        decided_by=first.decided_by if len(rules) == 1 else None,
        or_by=tuple(dict.fromkeys(each for part in parts for each in part.or_by)) if len(rules) == 1 else (),
        assumptions=hanging,
    )


def _told_apart(parts: tuple[Part, ...]) -> Iterator[Assumption]:
    """One assumption for each rule that decides about a part of the addresses."""
    total = sum(part.addresses for part in parts)
    decided: dict[RuleRef, list[Part]] = {}
    for part in parts:
        if part.decided_by is not None:
            decided.setdefault(part.decided_by, []).append(part)
    for rule, its in decided.items():
        count = sum(part.addresses for part in its)
        where = ", ".join(part.src for part in its[:3]) + (", ..." if len(its) > 3 else "")
        yield Assumption(rule, f"it decides about {count} of the {total} addresses ({where}): {its[0].verdict}")


def _unfinished(piece: Span, version: int, most: int) -> str:
    return (
        f"the rules cut this network into more than {most:,} pieces: from {_address(piece.low, version)} on it was not "
        "walked; ask for a smaller network."
    )


def _name(piece: Span, version: int) -> str:
    """A CIDR where the piece is one, else `first-last`."""
    size = piece.high - piece.low + 1
    if size & (size - 1) == 0 and piece.low % size == 0:
        width = 32 if version == 4 else 128
        return f"{_address(piece.low, version)}/{width - size.bit_length() + 1}"
    return f"{_address(piece.low, version)}-{_address(piece.high, version)}"


def _address(number: int, version: int) -> IPv4Address | IPv6Address:
    return IPv4Address(number) if version == 4 else IPv6Address(number)
