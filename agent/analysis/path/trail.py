"""How the ways through a chain part and meet again, kept to tell which maybes could have changed the outcome.

A trail is the graph of one visit: its nodes are packets between two partings, its leaves the exits of the chain. A fork is
harmless when both of its sides reach the same exits; whether a difference in exits is one in the outcome, the callers know.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from itertools import count

from agent.analysis.path.state import State
from agent.model.explanation import RuleRef


class End(Enum):
    """How a packet leaves a chain. FELL: off its end, or returned; STUCK: what happens then cannot be said."""

    FELL = "fell"
    ACCEPT = "accept"
    DROP = "drop"
    REJECT = "reject"
    STUCK = "stuck"


@dataclass(frozen=True, slots=True)
class Exit:
    """One way out of a chain. `state` goes on with FELL and ACCEPT, `reply` belongs to REJECT, `rule` and `why` to STUCK."""

    end: End
    state: State | None = None
    reply: str | None = None
    rule: RuleRef | None = None
    why: str = ""


# A reader looks at two or three; a chain of maybes may have a hundred thousand.
MOST_OTHERS = 8


@dataclass(frozen=True, slots=True)
class Decider:
    """The rule that chose an exit; `sure` when no maybe lies on the way there. None for an exit that no rule chose.

    `others` choose the same exit on other ways: of a maybe, or of base chains in another order. The first few.
    """

    rule: RuleRef | None
    sure: bool
    others: tuple[RuleRef, ...] = ()


def joined(before: Decider | None, after: Decider) -> Decider:
    """The decider of an exit that two ways lead to: the sure one, else the later; the other is kept beside it."""
    if before is None:
        return after
    kept, left = (before, after) if before.sure else (after, before)
    others = dict.fromkeys((*kept.others, left.rule, *left.others))
    return replace(kept, others=tuple(rule for rule in others if rule is not None and rule != kept.rule)[:MOST_OTHERS])


Exits = frozenset[Exit]
Target = Exit | int


@dataclass(frozen=True, slots=True)
class Fork:
    """A maybe: the rules it hangs on, why, and what each side could reach. `serial` numbers forks as they were met."""

    serial: int
    rules: tuple[RuleRef, ...]
    why: str
    sides: tuple[Exits, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Visit:
    """A chain walked once for one packet: its exits, and for the maybes inside what they lead to.

    `calls` are visits with maybes of their own, and for each of their exits what it could reach here.
    """

    exits: Mapping[Exit, Decider]
    forks: tuple[Fork, ...] = ()
    calls: "tuple[tuple[Visit, Mapping[Exit, Exits]], ...]" = ()

    @property
    def doubtful(self) -> bool:
        """Whether anything in it was a maybe."""
        return bool(self.forks or self.calls)


@dataclass(slots=True)
class Trail:
    """The graph of a visit while it is made. Node 0 is where the packet comes in; links lead from lower to higher nodes."""

    serials: Iterator[int] = field(default_factory=count)
    _after: list[list[Target]] = field(default_factory=lambda: [[]])
    _forks: list[tuple[int, tuple[RuleRef, ...], str, tuple[tuple[Target, ...], ...]]] = field(default_factory=list)
    _calls: list[tuple[Visit, dict[Exit, Target]]] = field(default_factory=list)

    def node(self, *origins: int) -> int:
        """A new node, after these."""
        self._after.append([])
        number = len(self._after) - 1
        for origin in origins:
            self._after[origin].append(number)
        return number

    def leave(self, node: int, exit_: Exit) -> None:
        """The way from this node ends."""
        self._after[node].append(exit_)

    def fork(self, rules: tuple[RuleRef, ...], why: str, *sides: tuple[Target, ...]) -> None:
        """Remembers a parting; its sides are linked by who parts."""
        self._forks.append((next(self.serials), rules, why, sides))

    def call(self, visit: Visit, targets: dict[Exit, Target]) -> None:
        """Remembers a visit to another chain, and where each of its exits went on."""
        if visit.doubtful:
            self._calls.append((visit, targets))

    def close(self, exits: Mapping[Exit, Decider]) -> Visit:
        """The finished visit."""
        if not self._forks and not self._calls:
            return Visit(exits)
        reach = self._reach()
        return Visit(
            exits,
            tuple(
                Fork(serial, rules, why, tuple(_union(reach, side) for side in sides))
                for serial, rules, why, sides in self._forks
            ),
            tuple(
                (visit, {exit_: _union(reach, (target,)) for exit_, target in targets.items()})
                for visit, targets in self._calls
            ),
        )

    def _reach(self) -> list[Exits]:
        """For each node the exits that can be reached from it."""
        reach: list[Exits] = [frozenset()] * len(self._after)
        for number in range(len(self._after) - 1, -1, -1):
            reach[number] = _union(reach, self._after[number])
        return reach


def _union(reach: list[Exits], targets: Iterable[Target]) -> Exits:
    """Shares the sets where it can: a long chain of maybes has few different ones."""
    result: Exits = frozenset()
    for target in targets:
        more = reach[target] if isinstance(target, int) else frozenset((target,))
        if not more <= result:
            result = more if result <= more else result | more
    return result


def ends_of(visit: Visit) -> Visit:
    """The same visit with exits that differ in the packet's state alone taken as one: how a way ends, not with what.

    Of several deciders the last is kept; where there are several, none of them is sure.
    """
    bare = {exit_: replace(exit_, state=None) for exit_ in visit.exits}
    exits = {bare[exit_]: decider for exit_, decider in visit.exits.items()}

    def strip(reached: Exits) -> Exits:
        return frozenset(bare[exit_] for exit_ in reached)

    return Visit(
        exits,
        tuple(replace(fork, sides=tuple(map(strip, fork.sides))) for fork in visit.forks),
        tuple((callee, {exit_: strip(reached) for exit_, reached in went.items()}) for callee, went in visit.calls),
    )


def decisive(root: Visit) -> tuple[Fork, ...]:
    """The forks whose sides lead to different ends of the whole way, in the order in which they were met.

    The root's exits are the ends. Sides that reach the same several ends in different ways count as different.
    """
    found: dict[int, Fork] = {}
    todo: list[tuple[Visit, dict[Exit, Exits]]] = [(root, {exit_: frozenset((exit_,)) for exit_ in root.exits})]
    seen: set[tuple[int, frozenset[tuple[Exit, Exits]]]] = set()
    while todo:
        visit, ends = todo.pop()
        key = (id(visit), frozenset(ends.items()))
        if key in seen:
            continue
        seen.add(key)
        for fork in visit.forks:
            if fork.serial not in found and _matters(fork, ends):
                found[fork.serial] = fork
        for callee, continued in visit.calls:
            todo.append((callee, {exit_: _ends(reached, ends) for exit_, reached in continued.items()}))
    return tuple(found[serial] for serial in sorted(found))


def _matters(fork: Fork, ends: Mapping[Exit, Exits]) -> bool:
    if len(set(fork.sides)) == 1:
        return False
    reached = {_ends(side, ends) for side in fork.sides}
    return len(reached) > 1 or any(len(each) > 1 for each in reached)


def _ends(exits: Exits, ends: Mapping[Exit, Exits]) -> Exits:
    return frozenset().union(*(ends[exit_] for exit_ in exits))
