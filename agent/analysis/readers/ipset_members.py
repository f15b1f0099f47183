"""Which packets are in an ipset, as tests: from its entries and the directions (`src,dst`) that a rule gives its dimensions.

Semantics are the kernel's (ip_set_test in net/netfilter/ipset/ip_set_core.c, and its types): a set with more dimensions
than the rule gives directions holds nothing; a network marked `nomatch` keeps out what a larger one would let in. An entry that
is there is taken to stay: its timeout is not followed.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from agent.analysis.readers.addresses import WIDTH
from agent.analysis.readers.intervals import masked, merged
from agent.analysis.readers.ipset import KINDS, Entry, Ipset
from agent.analysis.readers.ipset_entries import (
    Cell,
    Span,
    read_ether,
    read_interface,
    read_mark,
    read_mask,
    read_nets,
    read_plain_port,
    read_port,
    read_span,
)
from agent.analysis.readers.territories import rectangles, territories
from agent.model.packet import Field
from agent.model.ruleset import Compare, Intervals, Lookup, Names, Test

# Where a mask applies to addresses as they are; on networks (hash:net,net) it is not followed here.
_MASKED_KINDS = {"bitmap:ip", "hash:ip", "hash:ip,port"}
# Steps to cut exceptions out of pairs of networks: a tenth of a second. Sets of that shape have a handful.
_MOST_STEPS = 100_000

Tests = tuple[Compare | Lookup, ...]
_Key = tuple[tuple[Field, ...], tuple[Test, ...]]


class UnknownMembersError(ValueError):
    """What the set holds cannot be told; the message is the reason, as a sentence without its full stop."""


class _Row(NamedTuple):
    """An entry: the networks or addresses that are compared by size, what the other dimensions ask, and `nomatch`."""

    spans: tuple[Span, ...]
    cells: tuple[Cell, ...]
    nomatch: bool


def members(ipset: Ipset, directions: Sequence[bool], *, swapped: bool) -> Tests:
    """Tests of which one holds for each packet in the set, and none for any other; none at all for an empty set.

    A direction is True for `src`. `swapped` is `--return-nomatch`: entries marked `nomatch` are in, and the others keep out.
    Raises `UnknownMembersError`.
    """
    dimensions = KINDS[ipset.kind]
    if len(directions) < len(dimensions):
        return ()
    rows = [row for entry in ipset.entries for row in _rows(ipset, entry, directions)]
    if "net" not in dimensions:
        return _collect(_addresses(ipset, directions, rows))
    rows = [row._replace(nomatch=row.nomatch is not swapped) for row in rows]
    if not {row[:2] for row in rows if row.nomatch}.isdisjoint(row[:2] for row in rows if not row.nomatch):
        raise UnknownMembersError(f"set {ipset.name} has an entry both with `nomatch` and without")
    fields = tuple(_address(source) for name, source in zip(dimensions, directions, strict=False) if name == "net")
    if len(fields) == 2:
        return _collect(_pairs(ipset, fields, rows))
    return _collect(_interfaces(ipset, fields[0], rows) if ipset.kind == "hash:net,iface" else _networks(fields[0], rows))


def _address(source: bool) -> Field:
    return Field.SADDR if source else Field.DADDR


def _rows(ipset: Ipset, entry: Entry, directions: Sequence[bool]) -> Iterator[_Row]:
    """The rows of one entry: several where a range of addresses is kept as several networks."""
    dimensions = KINDS[ipset.kind]
    texts = entry.text.split(",", len(dimensions) - 1)
    if ipset.kind == "bitmap:ip,mac" and len(texts) == 1:
        texts.append("")
    if len(texts) != len(dimensions) or ipset.family not in ("", *WIDTH):
        raise UnknownMembersError(f"entry {entry.text} of set {ipset.name} is not understood")
    spine = "net" if "net" in dimensions else "ip"
    spans: list[list[Span] | None] = []
    cells: list[Cell | None] = []
    for name, text, source in zip(dimensions, texts, directions, strict=False):
        if name == spine and (name == "net" or not spans):
            one = read_span(text, ipset.family) if name == "ip" else None
            spans.append(read_nets(text, ipset.family) if name == "net" else None if one is None else [one])
        else:
            cells.append(_cell(ipset, entry, name, text, source=source))
    found = [each for each in spans if each is not None]
    known = tuple(each for each in cells if each is not None)
    if len(found) != len(spans) or len(known) != len(cells):
        raise UnknownMembersError(f"entry {entry.text} of set {ipset.name} is not understood")
    combined: list[tuple[Span, ...]] = [()]
    for choices in found:
        combined = [(*before, span) for before in combined for span in choices]
    yield from (_Row(each, known, entry.nomatch) for each in combined)


def _cell(ipset: Ipset, entry: Entry, name: str, text: str, *, source: bool) -> Cell | None:
    if name == "ip":
        span = read_span(text, ipset.family)
        return None if span is None else Cell((_address(source),), (Intervals((span,)),))
    if name == "port":
        return read_plain_port(text, source=source) if ipset.kind == "bitmap:port" else read_port(text, source=source)
    if name == "iface":
        return read_interface(text, source=source, wildcard=entry.wildcard)
    if name == "mac":
        return read_ether(text, source=source)
    return read_mark(text, ipset.options.get("markmask", ""))


def _grouped(rows: Sequence[_Row]) -> dict[_Key, list[_Row]]:
    """Rows by what their cells ask."""
    groups: dict[_Key, list[_Row]] = defaultdict(list)
    for row in rows:
        fields = tuple(field for cell in row.cells for field in cell.fields)
        groups[fields, tuple(test for cell in row.cells for test in cell.tests)].append(row)
    return groups


def _addresses(ipset: Ipset, directions: Sequence[bool], rows: Sequence[_Row]) -> Iterator[_Key]:
    """Types that compare whole addresses, or the part of them that the set's mask leaves."""
    mask = _mask(ipset)
    for (fields, tests), group in _grouped(rows).items():
        spans = [row.spans[0] for row in group if row.spans]
        if not spans:  # a type without addresses
            yield fields, tests
            continue
        width = WIDTH[ipset.family]
        rest = (1 << width) - 1 & ~mask
        if rest & (rest + 1) == 0:
            parts: list[Test] = [merged((low & mask, high & mask | rest) for low, high in spans)]
        elif all(low == high for low, high in spans):
            parts = [masked(low & mask, mask, width) for low, _ in spans]
        else:
            raise UnknownMembersError(f"set {ipset.name} has ranges under a mask that is no prefix")
        yield from (((_address(directions[0]), *fields), (part, *tests)) for part in parts)


def _mask(ipset: Ipset) -> int:
    written = ipset.options.get("netmask") or ipset.options.get("bitmask") or ""
    mask = read_mask(written, ipset.family or "ip")
    if mask is None or (written and ipset.kind not in _MASKED_KINDS):
        raise UnknownMembersError(f"the mask {written} of set {ipset.name} is not followed here")
    return mask


def _networks(field: Field, rows: Sequence[_Row]) -> Iterator[_Key]:
    for (fields, tests), group in _grouped(rows).items():
        parts = territories(row.spans[0] for row in group)
        inside = merged(part for row in group if not row.nomatch for part in parts[row.spans[0]])
        yield (field, *fields), (inside, *tests)


def _interfaces(ipset: Ipset, field: Field, rows: Sequence[_Row]) -> Iterator[_Key]:
    """hash:net,iface: the smallest network alone is asked, whatever its entries' interfaces (measured on Linux 6.18).

    When a network of that size is there and none of its interfaces is the packet's, no larger one is tried (`multi` in
    mtype_test_cidrs of ip_set_hash_gen.h).
    """
    parts = territories(row.spans[0] for row in rows)
    here: dict[Span, list[_Row]] = defaultdict(list)
    for row in rows:
        here[row.spans[0]].append(row)
    for span, group in here.items():
        inside = [pattern for row in group if not row.nomatch for pattern in _patterns(row)]
        outside = [pattern for row in group if row.nomatch for pattern in _patterns(row)]
        if any(_overlap(one, other) for one in inside for other in outside):
            raise UnknownMembersError(
                f"which of several entries of set {ipset.name} for one network comes first is kernel state"
            )
        for row in group:
            if not row.nomatch:
                yield (field, *row.cells[0].fields), (Intervals(tuple(parts[span])), *row.cells[0].tests)


def _patterns(row: _Row) -> Iterator[str]:
    return (pattern for test in row.cells[0].tests if isinstance(test, Names) for pattern in test.patterns)


def _overlap(one: str, other: str) -> bool:
    """Whether a name can be meant by both patterns."""
    if one.endswith("*") and other.endswith("*"):
        return one[:-1].startswith(other[:-1]) or other[:-1].startswith(one[:-1])
    return other.startswith(one[:-1]) if one.endswith("*") else one.startswith(other[:-1]) and other.endswith("*")


def _pairs(ipset: Ipset, fields: Sequence[Field], rows: Sequence[_Row]) -> Iterator[_Key]:
    """Types with two networks."""
    _mask(ipset)
    for (others, tests), group in _grouped(rows).items():
        found = rectangles((((row.spans[0], row.spans[1]), row.nomatch) for row in group), _MOST_STEPS)
        if found is None:
            raise UnknownMembersError(f"set {ipset.name} has too many exceptions to follow")
        for one, other in found:
            yield (*fields, *others), (Intervals((one,)), Intervals((other,)), *tests)


def _collect(found: Iterator[_Key]) -> Tests:
    """Elements with the same fields together."""
    elements: dict[tuple[Field, ...], list[tuple[Test, ...]]] = defaultdict(list)
    for fields, tests in found:
        elements[fields].append(tests)
    return tuple(
        Compare(fields[0], rows[0][0]) if len(fields) == len(rows) == 1 else Lookup(fields, tuple(rows))
        for fields, rows in elements.items()
    )
