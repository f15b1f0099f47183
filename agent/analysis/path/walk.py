"""One packet walked through a ruleset: what becomes of it, which rule decides, and on which rules the answer hangs.

Every way the packet may go is followed. When all ways end alike the answer is decided, maybes on the way or not; else it is
UNDECIDED, and the assumptions are the maybes whose sides end differently. The deciding rule is the one rule that all ways end
by; of several, that of a way without a maybe, else the last. Base chains that run at one priority are walked in every order
(`journey`): where they answer alike, the first in the ruleset's order decides. The rules that decide alike on another way or in
another order are told beside it: which of them it is in truth, the rules alone do not say.

An ACCEPT is decided by the last rule that accepts in a filter chain of the last hook, else by the policy of the last such
chain; raw, mangle, nat and security chains count only where there is no other, and postrouting only where the hook before it
has none. Without any base chain nothing decides.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count

from agent.analysis.path.answer import answer_to, turn
from agent.analysis.path.journey import Journey
from agent.analysis.path.state import State, Traveller
from agent.analysis.path.steps import Steps
from agent.analysis.path.trail import End, Exit, Fork, Visit, decisive, ends_of
from agent.model.explanation import Assumption, RuleRef, Step, Verdict
from agent.model.packet import Packet
from agent.model.ruleset import Hook, Ruleset

_VERDICTS = {
    End.ACCEPT: Verdict.ACCEPT,
    End.DROP: Verdict.DROP,
    End.REJECT: Verdict.REJECT,
    End.STUCK: Verdict.UNDECIDED,
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """One fate that the packet may meet; UNDECIDED where a way ends in what cannot be walked. `reply` belongs to REJECT."""

    verdict: Verdict
    reply: str | None
    decided_by: RuleRef | None
    or_by: tuple[RuleRef, ...] = ()


@dataclass(frozen=True, slots=True)
class Walk:
    """The answer. With more than one outcome it is UNDECIDED, `decided_by` None, and `assumptions` says what it hangs on.

    `or_by` are rules that would decide alike, had a maybe come out otherwise or were chains of one priority in another order.

    `arrivals` are the packets that may come through all hooks, as the rules have left them.
    """

    verdict: Verdict
    reply: str | None
    decided_by: RuleRef | None
    outcomes: tuple[Outcome, ...]
    assumptions: tuple[Assumption, ...]
    steps: tuple[Step, ...]
    arrivals: tuple[State, ...] = ()
    or_by: tuple[RuleRef, ...] = ()


def walk(ruleset: Ruleset, packet: Packet, hooks: Sequence[Hook]) -> Walk:
    """Walks these hooks in order. With INPUT among them the packet's destination is taken as the node's own, with FORWARD not.

    The packet is as it enters the first hook; `ctstate` is what conntrack makes of it, or made of it when it came by lo.
    """
    there, _ = walk_both_ways(ruleset, packet, hooks, ())
    return there


def walk_both_ways(ruleset: Ruleset, packet: Packet, hooks: Sequence[Hook], back: Sequence[Hook]) -> tuple[Walk, Walk | None]:
    """The same, and the walk of the packet's answer through the hooks of `back`: None unless the packet surely arrives.

    The answer belongs to the packet as it arrived: a maybe on the way there may be one that the answer hangs on.
    """
    steps, serials = Steps(), count()
    asked = Traveller.of(packet, hooks)
    arrived = _go(Journey(ruleset, asked, steps, serials), hooks)
    there = _account(arrived, steps)
    answer = answer_to(packet)
    if not back or answer is None or there.verdict is not Verdict.ACCEPT:
        return there, None
    steps = Steps()
    answering = Traveller.answering(asked, answer, back)
    journey = Journey(ruleset, answering, steps, serials)
    journey.resume(arrived, partial(turn, asked, answering))
    return there, _account(_go(journey, back), steps)


def _go(journey: Journey, hooks: Sequence[Hook]) -> Visit:
    for hook in hooks:
        journey.pass_hook(hook)
    return journey.finish()


def _account(way: Visit, steps: Steps) -> Walk:
    root = ends_of(way)
    outcomes = tuple(
        Outcome(_VERDICTS[exit_.end], exit_.reply, decider.rule, decider.others) for exit_, decider in root.exits.items()
    )
    arrivals = tuple(exit_.state for exit_ in way.exits if exit_.state is not None)
    first = outcomes[0]
    if len(outcomes) == 1 and first.verdict is not Verdict.UNDECIDED:
        return Walk(first.verdict, first.reply, first.decided_by, outcomes, (), steps.told(), arrivals, first.or_by)
    assumptions = _assume(decisive(root), root.exits)
    return Walk(Verdict.UNDECIDED, None, None, outcomes, assumptions, steps.told(), arrivals)


def _assume(forks: Iterable[Fork], exits: Iterable[Exit]) -> tuple[Assumption, ...]:
    """One assumption per rule; a rule that is in doubt for several reasons names them all."""
    reasons: dict[RuleRef, dict[str, None]] = {}
    for fork in forks:
        for rule in fork.rules:
            reasons.setdefault(rule, {})[fork.why] = None
    for exit_ in exits:
        if exit_.end is End.STUCK and exit_.rule is not None:
            reasons.setdefault(exit_.rule, {})[exit_.why] = None
    return tuple(Assumption(rule, "; ".join(whys)) for rule, whys in reasons.items())
