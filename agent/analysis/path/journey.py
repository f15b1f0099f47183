"""A packet through the base chains of several hooks, in kernel order, with every way it may go.

The chains of one hook and priority may run in any order. Where at most one of them does anything to the packet, the order does
not matter and is not asked; else all orders are walked, and the answer is decided only if they agree.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from ipaddress import IPv4Address, IPv6Address
from itertools import permutations, product

from agent.analysis.path.chains import MAX_VARIANTS, Traversal
from agent.analysis.path.hooks import Placed, base_chains, base_of, groups, uses_conntrack
from agent.analysis.path.references import is_filter, refer
from agent.analysis.path.state import State, Traveller
from agent.analysis.path.steps import Steps
from agent.analysis.path.trail import Decider, End, Exit, Target, Trail, Visit, joined
from agent.model.explanation import RuleRef
from agent.model.ruleset import Hook, Ruleset
from agent.model.tri import Tri

# Chains at one priority that all do something to the packet: up to 24 orders are walked. A node with both backends and an own
# table has three.
MAX_UNORDERED = 4

# Why a rule may or may not be the one: said of every rule by which such chains act.
ORDER = "run at one priority, and which of them comes first is in no listing"

_ROUTED = {Hook.INPUT: Tri.YES, Hook.FORWARD: Tri.NO}


@dataclass(frozen=True, slots=True)
class _Acceptance:
    """The rule that let the packet pass, as people see it. Higher ranks outdo lower ones, later rules earlier ones."""

    rank: int
    decider: Decider


_NOBODY = _Acceptance(-9, Decider(None, sure=True))


@dataclass(slots=True)
class _Variant:
    """One variant of the packet between two base chains."""

    state: State
    node: int
    accepted: _Acceptance = _NOBODY


class Journey:
    """Walks hook by hook; `finish` gives the visit whose exits are the fates of the packet, and how it then looks."""

    def __init__(self, ruleset: Ruleset, traveller: Traveller, steps: Steps, serials: Iterator[int]) -> None:
        self.ruleset = ruleset
        self.traveller = traveller
        self.steps = steps
        self.serials = serials
        self.trail = Trail(serials)
        self.live = [_Variant(traveller.start, 0)]
        self.waiting = 0
        self.exits: dict[Exit, Decider] = {}
        self.traversals: dict[tuple[int, bool], Traversal] = {}

    def resume(self, before: Visit, turn: Callable[[State], State]) -> None:
        """Sets out, instead, with what `turn` makes of every packet that came through another journey."""
        arrived = {exit_: exit_.state for exit_ in before.exits if exit_.state is not None}
        turned = {exit_: _Variant(turn(state), self.trail.node(0)) for exit_, state in arrived.items()}
        self.trail.call(before, {exit_: variant.node for exit_, variant in turned.items()})
        self.live = self._merge(list(turned.values()))

    def pass_hook(self, hook: Hook) -> None:
        """All base chains of one hook. Who accepts here counts; who accepted at an earlier hook no longer does.

        Postrouting is no place where people accept: who accepted before it still counts.
        """
        self._route(hook)
        for variant in self.live:
            variant.state = replace(variant.state, bound=False)
            if hook is not Hook.POSTROUTING:
                variant.accepted = _NOBODY
        for group in groups(base_chains(self.ruleset, hook, self.traveller.packet.version)):
            arriving, self.live = self.live, []
            self.waiting = len(arriving)
            for variant in arriving:
                self.waiting -= 1
                self._meet(group, variant)
            self.live = self._merge(self.live)

    def finish(self) -> Visit:
        """What is left has arrived."""
        arriving, self.live = self.live, []
        self.waiting = len(arriving)
        for variant in arriving:
            self.waiting -= 1
            decider = variant.accepted.decider
            arrived = Exit(End.ACCEPT, variant.state)
            self._record(variant.node, arrived, Decider(decider.rule, self._is_alone() and decider.sure, decider.others))
        return self.trail.close(self.exits)

    def _route(self, hook: Hook) -> None:
        """A packet whose destination was changed goes where the routes send it, which need not be this hook."""
        # What comes back by lo was routed there, and to nowhere else, when it was sent.
        wanted = Tri.YES if self.traveller.looped and hook is Hook.POSTROUTING else _ROUTED.get(hook)
        arriving, self.live = self.live, []
        for variant in arriving:
            rule = variant.state.moved_by
            if wanted is None or rule is None or variant.state.here is wanted:
                self.live.append(variant)
            else:
                why = self._elsewhere(variant.state, hook)
                self._record(variant.node, Exit(End.STUCK, rule=rule, why=why), Decider(rule, sure=False))

    def _elsewhere(self, state: State, hook: Hook) -> str:
        number = state.destination
        address = IPv4Address if self.traveller.packet.version == 4 else IPv6Address
        where = "an address that is not known" if number is None else str(address(number))
        if state.here is Tri.UNKNOWN:
            return f"it changes the packet's destination to {where}, and whether that is delivered here is not known"
        return f"it changes the packet's destination to {where}, so that the packet does not come to {hook}"

    def _meet(self, group: Sequence[Placed], variant: _Variant) -> None:
        if len(group) == 1:
            self._pass(group, variant)
            return
        states = self._states(group, variant.state)
        active = [placed for placed in group if any(self._acts(placed, state) for state in states)]
        if len(active) > MAX_UNORDERED or len(states) > MAX_VARIANTS:
            rule = refer(*group[0], None)
            why = f"it is one of {len(group)} base chains at one priority, whose order is in no listing"
            self._record(variant.node, Exit(End.STUCK, rule=rule, why=why), Decider(rule, sure=False))
            return
        orders = list(_orders(group, active)) if len(active) > 1 else [tuple(group)]
        if len(orders) == 1:
            self._pass(orders[0], variant)
            return
        nodes = [self.trail.node(variant.node) for _ in orders]
        names = ", ".join(f"{table.family} {table.name} {chain.name} ({table.backend})" for table, chain in active)
        why = f"{names} {ORDER}"
        self.trail.fork(self._movers(active, states), why, *((node,) for node in nodes))
        for order, node in zip(orders, nodes, strict=True):
            self._pass(order, replace(variant, node=node))

    def _pass(self, order: Sequence[Placed], variant: _Variant) -> None:
        """Chains one after the other."""
        variants, others = [variant], self.waiting
        for placed in order:
            arriving, variants = variants, []
            for position, each in enumerate(arriving):
                self.waiting = others + len(arriving) - position - 1 + len(variants)
                variants += self._enter(placed, each)
            variants = self._merge(variants)
        self.waiting = others
        self.live += variants

    def _enter(self, placed: Placed, variant: _Variant) -> list[_Variant]:
        """The variants that one chain lets pass."""
        meets = self._meets(placed, variant.state)
        if meets is Tri.NO:
            return [variant]
        if meets is Tri.YES:
            return self._visit(placed, variant)
        if not self._acts(placed, variant.state):
            return [variant]
        into, past = self.trail.node(variant.node), self.trail.node(variant.node)
        why = "whether the packet meets nat chains is not known: only the first of a connection does, and only under conntrack"
        place = refer(*placed, None)
        self.trail.fork((place,), why, (into,), (past,))
        self.steps.add(place, "maybe", "come to this nat chain")
        self.waiting += 1
        return [*self._visit(placed, replace(variant, node=into)), replace(variant, node=past)]

    def _visit(self, placed: Placed, variant: _Variant) -> list[_Variant]:
        visit = self._traversal(placed, tell=True).visit(variant.state)
        alone = self._is_alone() and len(visit.exits) == 1
        passed: list[_Variant] = []
        targets: dict[Exit, Target] = {}
        for exit_, decider in visit.exits.items():
            if exit_.end is not End.ACCEPT or exit_.state is None:
                self._record(variant.node, exit_, Decider(decider.rule, alone and decider.sure, decider.others))
                targets[exit_] = exit_
                continue
            accepted = _outdo(variant.accepted, _Acceptance(_rank(placed, decider), decider))
            passed.append(_Variant(exit_.state, self.trail.node(variant.node), accepted))
            targets[exit_] = passed[-1].node
        self.trail.call(visit, targets)
        return passed

    def _merge(self, variants: list[_Variant]) -> list[_Variant]:
        alike: dict[State, list[_Variant]] = {}
        for variant in variants:
            alike.setdefault(variant.state, []).append(variant)
        return [
            same[0] if len(same) == 1 else _Variant(state, self.trail.node(*(each.node for each in same)), same[-1].accepted)
            for state, same in alike.items()
        ]

    def _states(self, group: Sequence[Placed], state: State) -> dict[State, None]:
        """Every state that these chains can make of this one, in whatever order; gives up behind MAX_VARIANTS."""
        found, todo = {state: None}, [state]
        while todo and len(found) <= MAX_VARIANTS:
            current = todo.pop()
            for placed in group:
                if self._meets(placed, current) is not Tri.NO:
                    exits = self._traversal(placed).visit(current).exits
                    new = [exit_.state for exit_ in exits if exit_.state is not None and exit_.state not in found]
                    found |= dict.fromkeys(new)
                    todo += new
        return found

    def _acts(self, placed: Placed, state: State) -> bool:
        """Whether a chain does anything to a packet but let it pass unchanged."""
        if self._meets(placed, state) is Tri.NO:
            return False
        return set(self._traversal(placed).visit(state).exits) != {Exit(End.ACCEPT, state)}

    def _movers(self, active: Sequence[Placed], states: Iterable[State]) -> tuple[RuleRef, ...]:
        """The rules by which these chains act."""
        found: dict[RuleRef, None] = {}
        for placed, state in product(active, states):
            if self._acts(placed, state):
                for exit_, decider in self._traversal(placed).visit(state).exits.items():
                    if decider.rule is not None and exit_ != Exit(End.ACCEPT, state):
                        found[decider.rule] = None
        return tuple(found)

    def _meets(self, placed: Placed, state: State) -> Tri:
        base = base_of(placed[1])
        if base.kind != "nat":
            return Tri.YES
        meets = self.traveller.meets_nat(state, base.hook)
        return Tri.UNKNOWN if meets is Tri.YES and not self.tracked else meets

    @cached_property
    def tracked(self) -> bool:
        """Whether conntrack is surely at work."""
        return uses_conntrack(self.ruleset, self.traveller.packet.version)

    def _traversal(self, placed: Placed, *, tell: bool = False) -> Traversal:
        """Visits that only try what a chain would do leave no steps in the account."""
        table, chain = placed
        found = self.traversals.get((id(chain), tell))
        if found is None:
            steps = self.steps if tell else Steps()
            found = Traversal(table, chain, base_of(chain), self.traveller, steps, self.serials)
            self.traversals[id(chain), tell] = found
        return found

    def _record(self, node: int, exit_: Exit, decider: Decider) -> None:
        self.trail.leave(node, exit_)
        self.exits[exit_] = joined(self.exits.get(exit_), decider)

    def _is_alone(self) -> bool:
        return not (self.waiting or self.live or self.exits)


def _orders(group: Sequence[Placed], active: Sequence[Placed]) -> Iterator[tuple[Placed, ...]]:
    """The group in every order of its active chains; nat chains keep that of their own priorities."""
    slots = [index for index, placed in enumerate(group) if placed in active]
    for order in permutations(active):
        nat = [base_of(chain).priority for _, chain in order if base_of(chain).kind == "nat"]
        if nat == sorted(nat):
            arranged = list(group)
            for slot, placed in zip(slots, order, strict=True):
                arranged[slot] = placed
            yield tuple(arranged)


def _rank(placed: Placed, decider: Decider) -> int:
    """People look at filter chains before others, and at a rule that accepts before a policy that does."""
    explicit = decider.rule is not None and not decider.rule.policy
    behind = base_of(placed[1]).hook is Hook.POSTROUTING
    return 2 * is_filter(*placed) + explicit - 4 * behind


def _outdo(before: _Acceptance, after: _Acceptance) -> _Acceptance:
    return before if before.rank > after.rank else after
