"""The plan, put together: the case, the broker's ground of the place, and what model and twin say of the change."""

from dataclasses import dataclass

from agent.analysis.diagnosis.places import rule_name
from agent.analysis.fixing.case import Case, NoPlanError
from agent.analysis.fixing.persistent import command, persistent
from agent.analysis.fixing.what_if import blast_radius, with_rule
from agent.analysis.path.explain import explain
from agent.model.explanation import Verdict
from agent.model.plan import Ground, Place, Plan, Verdicts
from agent.model.ruleset import Ruleset
from agent.model.twin import TwinInsert, TwinResult, TwinVerdict

OUTLIVES = (
    "A connection that is open when the fix ends stays open, where an earlier rule accepts what is ESTABLISHED; with cut-flows "
    "its entry in connection tracking is removed, if a kubereach is there to do it."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A plan that the twin has not been asked about. `insert` is what it is to try."""

    case: Case
    place: Place
    position: int
    rule: str
    ground: Ground
    insert: TwinInsert


def draft(case: Case, ground: Ground, plan_id: str) -> Draft:
    """Finds the place in the broker's own reading. Raises `NoPlanError` where that reads otherwise than what was analysed."""
    rule = case.rule
    number = rule.rule_number
    if rule.policy:
        before, nth, position = "", 1, len(ground.rules) + 1
    elif number is None or number > len(ground.rules) or ground.rules[number - 1] != rule.text:
        raise NoPlanError("The rules changed while they were looked at: try again.")
    else:
        before, position = ground.rules[number - 1], number
        nth = ground.rules[:number].count(before)
    bits = 128 if case.flow.version == 6 else 32
    spec = (
        f"-s {case.flow.source} -d {case.flow.destination}/{bits} -p tcp -m tcp --dport {case.flow.port} "
        f"-m comment --comment kubereach:{plan_id} -j ACCEPT"
    )
    insert = TwinInsert(
        backend=rule.backend, table=rule.table, chain=rule.chain, position=position, spec=tuple(spec.split(" "))
    )
    place = Place(backend=rule.backend, chain=rule.chain, before=before, nth=nth)
    return Draft(case=case, place=place, position=position, rule=spec, ground=ground, insert=insert)


def finish(  # noqa: PLR0913  what a plan is made of
    found: Draft, ruleset: Ruleset, twins: tuple[TwinResult, TwinResult], *, plan_id: str, node: str, made_at: str, probe: str
) -> Plan:
    """The plan. `twins` are the twin's words before and after. Raises `NoPlanError` where it would not help, or do too much."""
    case, (was, now) = found.case, twins
    changed = with_rule(ruleset, case.rule, found.position, found.rule)
    after = explain(changed, case.packet)
    if after.verdict is not Verdict.ACCEPT:
        by = f" by {rule_name(after.decided_by)}" if after.decided_by is not None else ""
        raise NoPlanError(f"An ACCEPT there would not help: by the rules the packet's fate would still be {after.verdict}{by}.")
    if now.verdict is not TwinVerdict.ACCEPT:
        why = now.problem or next(iter(now.not_modelled), f"its verdict was {now.verdict}")
        raise NoPlanError(f"That an ACCEPT there would help could not be shown in the twin: {why}.")
    radius = blast_radius(ruleset, changed, case.packet, case.flow)
    if radius.changed:
        raise NoPlanError(f"It would change more than it should: {radius.changed[0].packet}.")
    by_hand, undo = command(case.flow, found.place, found.position)
    return Plan(
        id=plan_id,
        node=node,
        made_at=made_at,
        finding=case.finding.code,
        flow=case.flow,
        place=found.place,
        position=found.position,
        rule=f"-I {found.place.chain} {found.position} {found.rule}",
        digest=found.ground.digest,
        before=Verdicts(model=case.explanation.verdict.value, twin=was.verdict.value, probe=probe),
        after=Verdicts(model=after.verdict.value, twin=now.verdict.value),
        blast_radius=radius,
        command=by_hand,
        undo=undo,
        persistent=persistent(case.flow, found.place),
        notes=(OUTLIVES,),
        ground=found.ground.lines,
    )
