from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from agent.analysis.readers.territories import Span, rectangles, territories

_BITS = 5


@st.composite
def networks(draw: st.DrawFn) -> Span:
    length = draw(st.integers(0, _BITS))
    size = 1 << (_BITS - length)
    low = draw(st.integers(0, (1 << length) - 1)) * size
    return low, low + size - 1


@given(st.lists(networks(), unique=True))
def test_each_address_belongs_to_the_smallest_network_around_it(nets: list[Span]) -> None:
    found = territories(nets)
    for address in range(1 << _BITS):
        owners = [net for net, parts in found.items() if any(low <= address <= high for low, high in parts)]
        around = sorted((net for net in nets if net[0] <= address <= net[1]), key=lambda net: net[1] - net[0])
        assert owners == around[:1]


def test_a_network_that_holds_the_end_of_another_leaves_it_the_beginning() -> None:
    assert territories([(0, 31), (16, 31), (24, 31)]) == {(0, 31): [(0, 15)], (16, 31): [(16, 23)], (24, 31): [(24, 31)]}


def test_a_hole_inside_leaves_what_is_on_its_sides() -> None:
    found = rectangles([(((0, 31), (0, 31)), False), (((8, 15), (16, 23)), True)], 100)
    assert found is not None
    assert sorted(found) == [((0, 7), (0, 31)), ((8, 15), (0, 15)), ((8, 15), (24, 31)), ((16, 31), (0, 31))]


@given(st.dictionaries(st.tuples(networks(), networks()), st.booleans(), max_size=8))
def test_of_two_networks_the_longest_first_then_the_longest_second_decides(pairs: dict[tuple[Span, Span], bool]) -> None:
    found = rectangles(pairs.items(), 10_000)
    assert found is not None
    for one, other in product(range(0, 1 << _BITS, 3), repeat=2):
        around = [pair for pair in pairs if pair[0][0] <= one <= pair[0][1] and pair[1][0] <= other <= pair[1][1]]
        first = min(around, key=lambda pair: (pair[0][1] - pair[0][0], pair[1][1] - pair[1][0]), default=None)
        inside = any(a[0] <= one <= a[1] and b[0] <= other <= b[1] for a, b in found)
        assert inside is (first is not None and not pairs[first])


def test_too_much_work_is_not_begun() -> None:
    pairs = [(((n, n), (n, n)), n % 2 == 0) for n in range(100)]
    assert rectangles(pairs, 10) is None
