"""A packet through one base chain and the user chains it jumps to.

Where a test cannot be answered the packet goes both ways; ways that meet with the same packet are one again. Every chain is
walked once for each different packet that comes to it, so that a chain jumped to from many places costs once. Visits are
generators that ask for the visits they need, so that the depth of jumps is not bounded by Python's stack.
"""

from collections.abc import Generator, Iterator
from dataclasses import dataclass, field

from agent.analysis.path.changes import changeable, copy_mark, forget, set_mark, translate, untrack
from agent.analysis.path.match import Fields, element_holds, holds, is_match, rules_out, why_unanswered, why_unknown
from agent.analysis.path.references import refer
from agent.analysis.path.replies import resolve
from agent.analysis.path.state import State, Traveller
from agent.analysis.path.steps import Steps, effect_of
from agent.analysis.path.trail import Decider, End, Exit, Target, Trail, Visit, joined
from agent.model.explanation import RuleRef
from agent.model.ruleset import (
    Accept,
    Base,
    Chain,
    CopyMark,
    Drop,
    Forget,
    Jump,
    NoTrack,
    Pass,
    Reject,
    Return,
    Rule,
    SetMark,
    Statement,
    Table,
    Translate,
    Unclear,
    VerdictMap,
)
from agent.model.tri import Tri

# Different packets that may stand at one rule at the same time. Each maybe that sets a mark can double them; real rulesets
# stay below ten, and beyond this nobody could read the answer.
MAX_VARIANTS = 32

_Place = tuple[str, State]  # a chain's name, and the packet that comes to it
# Whoever walks asks for the visits that it needs, and is sent them.
_Walking = Generator[_Place, Visit, Visit]
_Meeting = Generator[_Place, Visit, None]
_Acting = Generator[_Place, Visit, "list[_Strand]"]


@dataclass(slots=True)
class _Strand:
    """One variant of the packet between two rules, and its node on the trail."""

    state: State
    fields: Fields
    node: int


@dataclass(slots=True)
class Traversal:
    """Walks one base chain, for any number of states; remembers every visit."""

    table: Table
    base_chain: Chain
    base: Base
    traveller: Traveller
    steps: Steps
    serials: Iterator[int]
    chains: dict[str, Chain] = field(init=False)
    walked: set[str] = field(default_factory=set)
    _visits: dict[_Place, Visit] = field(default_factory=dict)
    _views: dict[State, Fields] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.chains = {chain.name: chain for chain in self.table.chains}

    def visit(self, state: State) -> Visit:
        """The ways out of the base chain, its policy applied: ACCEPT with a state, DROP, REJECT, STUCK."""
        first = (self.base_chain.name, state)
        answer = self._visits.get(first)
        stack: list[tuple[_Place, _Walking]] = []
        if answer is None:
            self._enter(stack, first)
        while stack:
            place, walking = stack[-1]
            try:
                wanted = next(walking) if answer is None else walking.send(answer)
            except StopIteration as finished:
                answer = self._visits[place] = finished.value
                stack.pop()
                self.walked.discard(place[0])
            else:
                answer = self._visits.get(wanted)
                if answer is None:
                    self._enter(stack, wanted)
        return self._visits[first]

    def view(self, state: State) -> Fields:
        """The fields of a packet in this state, as this base chain's rules see them."""
        found = self._views.get(state)
        if found is None:
            found = self._views[state] = self.traveller.view(state, self.base)
        return found

    def _enter(self, stack: list[tuple[_Place, _Walking]], place: _Place) -> None:
        name, state = place
        stack.append((place, _Passage(self, self.chains[name], state).walk()))
        self.walked.add(name)


class _Passage:
    """One chain walked for one state: the variants that go on, and the exits so far."""

    __slots__ = ("chain", "exits", "live", "of", "trail", "waiting")

    def __init__(self, of: Traversal, chain: Chain, state: State) -> None:
        self.of = of
        self.chain = chain
        self.trail = Trail(of.serials)
        self.live = [_Strand(state, of.view(state), 0)]
        self.waiting = 0
        self.exits: dict[Exit, Decider] = {}

    def walk(self) -> _Walking:
        if self.chain.unread:
            place = refer(self.of.table, self.chain, None)
            for strand in self.live:
                self._leave(strand, Exit(End.STUCK, rule=place, why="the rules of this chain were not read"), place)
            return self.trail.close(self.exits)
        for rule in self.chain.rules:
            statements = rule.statements
            for strand in self.live:
                if not rules_out(statements, strand.fields):
                    break
            else:
                continue
            yield from self._meet(rule)
            if not self.live:
                break
        arriving, self.live = self.live, []
        self.waiting = len(arriving)
        for strand in arriving:
            self.waiting -= 1
            self._fall(strand, alone=self._is_alone())
        return self.trail.close(self.exits)

    def _meet(self, rule: Rule) -> _Meeting:
        """Lets every variant meet the rule, then makes one of those that are alike."""
        arriving, self.live = self.live, []
        self.waiting = len(arriving)
        several = len(arriving) > 1
        for strand in arriving:
            self.waiting -= 1
            yield from self._apply(rule, strand, several=several)
        if len(self.live) > 1:
            self._merge(rule)

    def _merge(self, rule: Rule) -> None:
        alike: dict[State, list[_Strand]] = {}
        for strand in self.live:
            alike.setdefault(strand.state, []).append(strand)
        if len(alike) > MAX_VARIANTS:
            why = f"more than {MAX_VARIANTS} different packets may arrive behind this rule"
            for strand in self.live:
                self._get_stuck(rule, strand, why)
            self.live = []
            return
        self.live = [
            same[0] if len(same) == 1 else _Strand(state, same[0].fields, self.trail.node(*(each.node for each in same)))
            for state, same in alike.items()
        ]

    def _apply(self, rule: Rule, strand: _Strand, *, several: bool) -> _Meeting:
        """One rule for one variant. A maybe parts the ways only at the first action behind it; actions may part them, too."""
        others, todo = self.waiting, [(strand, 0)]
        while todo:
            strand, start = todo.pop()
            index, doubts = _next_action(rule, strand, start)
            if start == 0 and index is not None:
                self._tell(rule, strand, "maybe" if doubts or several else "match")
            if index is None or index == len(rule.statements):
                self.live.append(strand)
                continue
            if doubts:
                strand, unmet = self._part(rule, strand, "; ".join(dict.fromkeys(doubts)))
                self.live.append(unmet)
            self.waiting = others + len(todo)
            left = yield from self._act(rule, rule.statements[index], strand)
            todo += [(each, index + 1) for each in left]
        self.waiting = others

    def _act(self, rule: Rule, action: Statement, strand: _Strand) -> _Acting:
        """What one action does: the variants that go on with the rule's next statement."""
        match action:
            case Accept():
                self._leave(strand, Exit(End.ACCEPT, strand.state), self._refer(rule))
            case Drop():
                self._leave(strand, Exit(End.DROP), self._refer(rule))
            case Reject():
                reply = resolve(action.reply, self.of.traveller.packet.version)
                self._leave(strand, Exit(End.REJECT, reply=reply), self._refer(rule))
            case Return():
                self._fall(strand, alone=self._is_alone())
            case Jump():
                yield from self._jump(rule, action, strand)
            case Translate():
                place = self._refer(rule)
                state = translate(strand.state, action, self.of.traveller, self.of.base.hook, place)
                self._leave(strand, Exit(End.ACCEPT, state), place)
            case VerdictMap():
                return (yield from self._look_up(rule, action, strand))
            case Unclear():
                return [self._leave_open(rule, action, strand)]
            case SetMark() | CopyMark() | NoTrack() | Forget():
                return [self._change(rule, action, strand)]
            case _:
                return [strand]
        return []

    def _change(self, rule: Rule, action: SetMark | CopyMark | NoTrack | Forget, strand: _Strand) -> _Strand:
        tracking = self.of.traveller.tracking(self.of.base)
        if isinstance(action, SetMark):
            state = set_mark(strand.state, action, tracking)
        elif isinstance(action, CopyMark):
            state = copy_mark(strand.state, action, tracking)
        elif isinstance(action, Forget):
            state = forget(strand.state, action.fields, self._refer(rule))
        else:
            state = untrack(strand.state, tracking)
        return self._arrive(state, strand.node)

    def _jump(self, rule: Rule, action: Jump, strand: _Strand) -> _Meeting:
        name = action.chain
        if name not in self.of.chains:
            self._get_stuck(rule, strand, f"the chain {name} that it jumps to is not in the table")
            return
        if self.of.chains[name].unread:
            self._get_stuck(rule, strand, f"the rules of the chain {name} that it jumps to were not read")
            return
        if name in self.of.walked:
            self._get_stuck(rule, strand, f"it jumps back to {name}, which the packet is in: a loop, which no kernel loads")
            return
        alone = self._is_alone()
        visit = yield name, strand.state
        alone = alone and len(visit.exits) == 1
        targets: dict[Exit, Target] = {}
        for exit_, decider in visit.exits.items():
            if exit_.end is not End.FELL or exit_.state is None:
                self._record(strand.node, exit_, Decider(decider.rule, alone and decider.sure, decider.others))
                targets[exit_] = exit_
            elif action.goto:
                targets[exit_] = self._fall(self._arrive(exit_.state, strand.node), alone=alone)
            else:
                back = self._arrive(exit_.state, self.trail.node(strand.node))
                targets[exit_] = back.node
                self.live.append(back)
        self.trail.call(visit, targets)

    def _look_up(self, rule: Rule, action: VerdictMap, strand: _Strand) -> _Acting:
        """The first element that holds gives the verdict; an element that may hold parts the ways."""
        going_on: list[_Strand] = []
        for keys, verdict in action.entries:
            answer = element_holds(action.fields, keys, strand.fields)
            if answer is Tri.NO:
                continue
            if answer is Tri.YES:
                return going_on + (yield from self._act(rule, verdict, strand))
            chosen, strand = self._part(rule, strand, why_unanswered(action.fields))
            self.waiting += 1
            going_on += yield from self._act(rule, verdict, chosen)
        return [*going_on, strand]

    def _leave_open(self, rule: Rule, action: Unclear, strand: _Strand) -> _Strand:
        """An action that may end the packet, accept it or go on; behind it nothing is known of what it can change."""
        place = self._refer(rule)
        base = self.of.base
        state = forget(strand.state, changeable(base, self.of.traveller.tracking(base)), place)
        ends = (Exit(End.DROP), Exit(End.ACCEPT, state))
        for exit_ in ends:
            self._record(strand.node, exit_, Decider(place, sure=False))
        behind = self._arrive(state, self.trail.node(strand.node))
        self.trail.fork((place,), action.why, *((exit_,) for exit_ in ends), (behind.node,))
        return behind

    def _part(self, rule: Rule, strand: _Strand, why: str) -> tuple[_Strand, _Strand]:
        """The variant for which the maybe is true, and the one for which it is not."""
        true, false = self.trail.node(strand.node), self.trail.node(strand.node)
        self.trail.fork((self._refer(rule),), why, (true,), (false,))
        return _Strand(strand.state, strand.fields, true), _Strand(strand.state, strand.fields, false)

    def _fall(self, strand: _Strand, *, alone: bool) -> Exit:
        """The end of the chain: back to the caller, or a base chain's policy."""
        chain = self.chain
        if chain.base is None:
            exit_ = Exit(End.FELL, strand.state)
            self._record(strand.node, exit_, Decider(None, alone))
            return exit_
        place = refer(self.of.table, chain, None)
        drop = chain.base.policy.lower() == "drop"
        self.of.steps.add(place, "policy", "drop" if drop else "accept")
        exit_ = Exit(End.DROP) if drop else Exit(End.ACCEPT, strand.state)
        self._record(strand.node, exit_, Decider(place, alone))
        return exit_

    def _leave(self, strand: _Strand, exit_: Exit, place: RuleRef) -> None:
        self._record(strand.node, exit_, Decider(place, self._is_alone()))

    def _get_stuck(self, rule: Rule, strand: _Strand, why: str) -> None:
        place = self._refer(rule)
        self._leave(strand, Exit(End.STUCK, rule=place, why=why), place)

    def _record(self, node: int, exit_: Exit, decider: Decider) -> None:
        self.trail.leave(node, exit_)
        self.exits[exit_] = joined(self.exits.get(exit_), decider)

    def _is_alone(self) -> bool:
        """Whether the variant at hand is the only one there is, so that no maybe lies on its way."""
        return not (self.waiting or self.live or self.exits)

    def _arrive(self, state: State, node: int) -> _Strand:
        return _Strand(state, self.of.view(state), node)

    def _refer(self, rule: Rule) -> RuleRef:
        return refer(self.of.table, self.chain, rule, self.of.base_chain)

    def _tell(self, rule: Rule, strand: _Strand, result: str) -> None:
        if self.of.steps.full:
            self.of.steps.omit()
        else:
            self.of.steps.add(self._refer(rule), result, effect_of(rule, strand.fields))


def _next_action(rule: Rule, strand: _Strand, start: int) -> tuple[int | None, list[str]]:
    """The index of the next action that changes anything, and the doubts on the way there.

    The index is None where a test fails, and behind the last statement where there is no such action.
    """
    doubts: list[str] = []
    for index in range(start, len(rule.statements)):
        statement = rule.statements[index]
        if is_match(statement):
            answer = holds(statement, strand.fields)
            if answer is Tri.NO:
                return None, doubts
            if answer is Tri.UNKNOWN:
                doubts.append(why_unknown(statement, strand.fields))
        elif not isinstance(statement, Pass):
            return index, doubts
    return len(rule.statements), doubts
