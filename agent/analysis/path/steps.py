"""The account of a walk: what matched or might, in the order in which it was met, in words."""

from dataclasses import dataclass, field

from agent.analysis.path.match import Fields, element_holds, holds
from agent.model.explanation import RuleRef, Step
from agent.model.packet import Field
from agent.model.ruleset import (
    Accept,
    Action,
    CopyMark,
    Drop,
    Forget,
    Jump,
    Match,
    NoTrack,
    Pass,
    Reject,
    Return,
    Rule,
    SetMark,
    Translate,
    Unclear,
    VerdictMap,
)
from agent.model.tri import Tri

# More than a person reads; a ruleset of 100,000 logging rules must not become an answer of 100,000 lines.
MAX_STEPS = 500

_PLAIN = {Accept: "accept", Drop: "drop", Return: "return", NoTrack: "notrack", VerdictMap: "verdict map"}


@dataclass(slots=True)
class Steps:
    """Collects steps, the first MAX_STEPS of them; a rule that is met again with the same effect is not repeated."""

    _steps: dict[Step, None] = field(default_factory=dict)
    _left_out: bool = False

    @property
    def full(self) -> bool:
        """Whether further steps would be left out."""
        return len(self._steps) >= MAX_STEPS

    def add(self, rule: RuleRef, result: str, effect: str) -> None:
        """`result` is match, maybe or policy."""
        if self.full:
            self.omit()
        else:
            self._steps[Step(rule, result, effect)] = None

    def omit(self) -> None:
        """Notes that something was not told."""
        self._left_out = True

    def told(self) -> tuple[Step, ...]:
        """All of them; where there were more, the last one's effect says so."""
        steps = tuple(self._steps)
        if not self._left_out:
            return steps
        last = steps[-1]
        return (*steps[:-1], Step(last.rule, last.result, f"{last.effect} (further steps are left out)"))


def effect_of(rule: Rule, fields: Fields) -> str:
    """What the rule does to a packet with these fields, as far as its tests let it come: "mark 0x4000, jump KUBE-FIREWALL"."""
    words: list[str] = []
    for statement in rule.statements:
        if isinstance(statement, Match):
            if holds(statement, fields) is Tri.NO:
                break
        elif isinstance(statement, VerdictMap):
            answer, chosen = _choose(statement, fields)
            if chosen is not None:
                words.append(describe(chosen) if answer is Tri.YES else f"perhaps {describe(chosen)}")
            if answer is Tri.YES and not isinstance(chosen, Pass):
                break
        elif not isinstance(statement, Pass) or statement.text:
            words.append(describe(statement))
    return ", ".join(words) or "go on"


def _choose(action: VerdictMap, fields: Fields) -> tuple[Tri, Action | None]:
    """The verdict of the first element that holds or may hold, and which of the two."""
    for keys, verdict in action.entries:
        answer = element_holds(action.fields, keys, fields)
        if answer is not Tri.NO:
            return answer, verdict
    return Tri.NO, None


def describe(action: Action) -> str:
    """One action in words."""
    match action:
        case Reject():
            words = f"reject with {action.reply}"
        case Jump():
            words = f"{'goto' if action.goto else 'jump'} {action.chain}"
        case SetMark():
            words = _marking(action)
        case CopyMark():
            words = f"copy {action.source} to {action.target}"
        case Translate():
            port = f":{action.port}" if action.port is not None else ""
            words = f"{action.kind} {action.address}{port}".strip()
        case Forget():
            words = f"unclear: {action.text}"
        case Unclear():
            words = f"unclear: {action.text}"
        case Pass():
            words = action.text
        case _:
            words = _PLAIN[type(action)]
    return words


def _marking(action: SetMark) -> str:
    name = "connection mark" if action.field is Field.CT_MARK else "mark"
    if action.keep == 0:
        return f"{name} = {action.flip:#x}"
    return f"{name} = ({name} & {action.keep:#x}) ^ {action.flip:#x}"
