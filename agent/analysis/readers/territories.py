"""Which part of a nest of networks each of them decides about: ipset asks the smallest network that holds an address first.

The kernel walks the prefix lengths of a set from the longest to the shortest and takes the first entry that it finds; with two
networks, all lengths of the second for each of the first (mtype_test_cidrs in net/netfilter/ipset/ip_set_hash_gen.h).
"""

from collections.abc import Iterable, Iterator

Span = tuple[int, int]
Rectangle = tuple[Span, Span]


def territories(networks: Iterable[Span]) -> dict[Span, list[Span]]:
    """For each network the ranges in which it is the smallest one. Networks lie in one another or apart, never across."""
    found: dict[Span, list[Span]] = {network: [] for network in networks}
    around: list[Span] = []
    start = 0
    for network in sorted(found, key=lambda span: (span[0], -span[1])):
        while around and around[-1][1] < network[0]:
            start = _close(around.pop(), start, found)
        if around and start < network[0]:
            found[around[-1]].append((start, network[0] - 1))
        around.append(network)
        start = network[0]
    while around:
        start = _close(around.pop(), start, found)
    return found


def _close(network: Span, start: int, found: dict[Span, list[Span]]) -> int:
    if start <= network[1]:
        found[network].append((start, network[1]))
    return max(start, network[1] + 1)


def rectangles(pairs: Iterable[tuple[Rectangle, bool]], most: int) -> list[Rectangle] | None:
    """What pairs of networks cover; those marked True keep out what they cover of the pairs that are asked after them.

    None where that would take more than `most` steps.
    """
    ordered = sorted(pairs, key=lambda pair: (_size(pair[0][0]), _size(pair[0][1])))
    holes: list[Rectangle] = []
    found: list[Rectangle] = []
    steps = 0
    for rectangle, is_hole in ordered:
        if is_hole:
            holes.append(rectangle)
            continue
        pieces = [rectangle]
        for hole in holes:
            steps += len(pieces)
            if steps > most:
                return None
            pieces = [rest for piece in pieces for rest in _without(piece, hole)]
        found += pieces
    return found


def _size(span: Span) -> int:
    return span[1] - span[0]


def _without(piece: Rectangle, hole: Rectangle) -> Iterator[Rectangle]:
    (first, second), common = piece, _common(piece[0], hole[0])
    if common is None or _common(second, hole[1]) is None:
        yield piece
        return
    yield from ((rest, second) for rest in _outside(first, hole[0]))
    yield from ((common, rest) for rest in _outside(second, hole[1]))


def _common(one: Span, other: Span) -> Span | None:
    low, high = max(one[0], other[0]), min(one[1], other[1])
    return (low, high) if low <= high else None


def _outside(span: Span, hole: Span) -> Iterator[Span]:
    if span[0] < hole[0]:
        yield span[0], hole[0] - 1
    if span[1] > hole[1]:
        yield hole[1] + 1, span[1]
