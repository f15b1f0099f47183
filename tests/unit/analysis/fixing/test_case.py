"""What an ACCEPT may mend, and every reason against one."""

from dataclasses import replace

import pytest

from agent.analysis.diagnosis.diagnose import analyse
from agent.analysis.diagnosis.scene import read_scene
from agent.analysis.fixing.case import NoPlanError, make_case
from agent.analysis.fixing.draft import draft, finish
from agent.analysis.fixing.what_if import blast_radius, with_rule
from agent.model.explanation import Verdict
from agent.model.plan import Ground
from agent.model.probe import Outcome
from agent.model.report import Remedy, State, Word
from agent.model.settings import Settings
from agent.model.twin import TwinReply, TwinResult, TwinRule, TwinVerdict

REJECT = TwinResult(
    verdict=TwinVerdict.REJECT,
    reply=TwinReply.ICMP,
    icmp=(3, 10),
    rules=(TwinRule(backend="legacy", family="ip", table="filter", chain="INPUT", rule_number=3),),
)
OPEN = TwinResult(verdict=TwinVerdict.ACCEPT, reply=TwinReply.SYN_ACK)
LAST = "-A INPUT -j REJECT --reject-with icmp-host-prohibited"
SECOND = "-A INPUT -s 172.31.16.0/20 -j ACCEPT"


@pytest.fixture
def looked(capture):
    """The report and the scene of a capture, after `(old, new)` was changed in its firewall's text."""

    def look(*changes, cidrs=("10.244.4.0/24",), twin=REJECT, **others):
        def changed(firewall):
            def written(reading):
                text = reading.stdout
                for old, new in changes:
                    assert old in text
                    text = text.replace(old, new)
                return replace(reading, stdout=text)

            return firewall and replace(firewall, readings=tuple(map(written, firewall.readings)))

        of = replace(
            capture,
            twin=twin,
            settings=Settings(pod_cidrs=cidrs),
            before=changed(capture.before),
            between=changed(capture.between),
            **others,
        )
        return analyse(of), read_scene(of)

    return look


def test_a_catch_all_is_a_case(looked):
    case = make_case(*looked())
    assert (case.rule.text, case.flow.source, case.flow.port) == (LAST, "10.244.4.0/24", 10250)


def test_a_node_without_a_block_has_none(looked):
    report, scene = looked()
    with pytest.raises(NoPlanError, match="nothing to open"):
        make_case(replace(report, state=State.REACHABLE), scene)
    with pytest.raises(NoPlanError, match="nothing to open"):
        make_case(replace(report, findings=()), scene)


@pytest.mark.parametrize("lack", ["explanation", "packet", "rule", "accept"])
def test_without_a_rule_that_stops_it_there_is_none(looked, lack):
    report, scene = looked()
    explanation = scene.explanation
    if lack == "packet":
        scene = replace(scene, packet=None)
    else:
        missing = {"explanation": None, "rule": replace(explanation, decided_by=None)}
        scene = replace(scene, explanation=missing.get(lack, replace(explanation, verdict=Verdict.ACCEPT)))
    with pytest.raises(NoPlanError, match="an ACCEPT cannot help"):
        make_case(report, scene)


def test_every_witness_that_is_needed_is_named(looked):
    report, scene = looked()
    finding = report.findings[0]
    words = {**finding.witnesses, "twin": Word.DISAGREES}
    del words["probe"]
    with pytest.raises(NoPlanError, match=r"twin disagrees, probe absent"):
        make_case(replace(report, findings=(replace(finding, witnesses=words),)), scene)


def test_without_the_pods_network_there_is_none(looked):
    report, scene = looked()
    with pytest.raises(NoPlanError, match="--pod-cidr"):
        make_case(report, replace(scene, identity=replace(scene.identity, pod_cidrs=("fd00::/64",))))


@pytest.mark.parametrize(
    ("chain", "owner"),
    [pytest.param("ufw-before-input", "ufw", id="ufw"), pytest.param("INPUT_ZONES", "firewalld", id="firewalld")],
)
def test_the_end_of_an_owners_input_is_the_owners(looked, chain, owner):
    declared = (":OUTPUT ACCEPT [0:0]\n", f":OUTPUT ACCEPT [0:0]\n:{chain} - [0:0]\n")
    report, scene = looked(declared, (f"[0:0] {SECOND}\n", f"[0:0] {SECOND}\n[0:0] -A INPUT -p udp -j {chain}\n"))
    with pytest.raises(NoPlanError, match=f"belongs to {owner}"):
        make_case(agreed(report), scene)


def test_an_owners_own_rule_is_the_owners(looked):
    report, scene = looked()
    rule = replace(scene.explanation.decided_by, chain="cali-wl-to-host")
    scene = replace(scene, explanation=replace(scene.explanation, decided_by=rule))
    finding = replace(report.findings[0], remedy=Remedy(command="calicoctl apply", note=""))
    with pytest.raises(NoPlanError, match=r"belongs to Calico.*Instead: calicoctl apply"):
        make_case(replace(report, findings=(finding,)), scene)


@pytest.mark.parametrize(
    ("remedy", "said"),
    [(Remedy(command="", note="Change it there."), "Change it there."), (None, "would not overrule it. $")],
)
def test_a_rule_that_is_not_in_filter_input_is_not_overruled_there(looked, remedy, said):
    report, scene = looked()
    rule = replace(scene.explanation.decided_by, table="mangle")
    scene = replace(scene, explanation=replace(scene.explanation, decided_by=rule))
    with pytest.raises(NoPlanError, match=said):
        make_case(replace(report, findings=(replace(report.findings[0], remedy=remedy),)), scene)


def test_a_rule_that_is_meant_is_left_alone(looked):
    report, scene = looked((LAST, LAST.replace("INPUT", "INPUT -p tcp -m tcp --dport 10250")))
    with pytest.raises(NoPlanError, match="looks meant, since it names port 10250"):
        make_case(agreed(report), scene)


def agreed(report):
    """The report with the word of every witness that is needed: what they say is not asked here."""
    finding = report.findings[0]
    words = {**finding.witnesses, "model": Word.AGREES, "twin": Word.AGREES, "probe": Word.AGREES}
    return replace(report, state=State.BLOCKED, findings=(replace(finding, witnesses=words), *report.findings[1:]))


GROUND = Ground(
    digest="d", lines=(), rules=("-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT", SECOND, LAST), policy="ACCEPT"
)


def finished(found, scene, now=OPEN, ruleset=None):
    return finish(
        found, ruleset or scene.ruleset, (REJECT, now), plan_id="0" * 12, node="n", made_at="t", probe=Outcome.HOST_PROHIBITED
    )


def test_before_a_policy_it_goes_to_the_end(looked):
    report, scene = looked()
    policy = replace(scene.explanation.decided_by, rule_number=None, policy=True, text="")
    case = replace(make_case(report, scene), rule=policy)
    found = draft(case, replace(GROUND, rules=GROUND.rules[:2]), "0" * 12)
    assert (found.place.before, found.place.nth, found.position) == ("", 1, 3)


def test_the_second_of_two_alike_is_the_second(looked):
    case = make_case(*looked())
    ground = replace(GROUND, rules=(LAST, SECOND, LAST))
    assert draft(case, ground, "0" * 12).place.nth == 2


@pytest.mark.parametrize("rules", [GROUND.rules[:2], (*GROUND.rules[:2], SECOND)])
def test_rules_that_changed_are_no_ground(looked, rules):
    with pytest.raises(NoPlanError, match="changed while"):
        draft(make_case(*looked()), replace(GROUND, rules=rules), "0" * 12)


def test_a_plan(looked):
    report, scene = looked()
    plan = finished(draft(make_case(report, scene), GROUND, "0" * 12), scene)
    assert (plan.position, plan.before.model, plan.after.model) == (3, "REJECT", "ACCEPT")


def test_an_accept_that_the_model_does_not_see_help_is_no_plan(looked):
    report, scene = looked()
    found = draft(make_case(report, scene), GROUND, "0" * 12)
    with pytest.raises(NoPlanError, match="would still be REJECT"):
        finished(replace(found, position=4), scene)


@pytest.mark.parametrize(
    ("now", "why"),
    [
        (TwinResult(problem="no twin"), "no twin"),
        (TwinResult(verdict=TwinVerdict.DROP, not_modelled=("sets",)), "sets"),
        (REJECT, "its verdict was REJECT"),
    ],
)
def test_an_accept_that_the_twin_does_not_see_help_is_no_plan(looked, now, why):
    report, scene = looked()
    with pytest.raises(NoPlanError, match=f"could not be shown in the twin: {why}"):
        finished(draft(make_case(report, scene), GROUND, "0" * 12), scene, now)


def test_an_accept_that_opens_more_is_no_plan(looked):
    report, scene = looked()
    found = draft(make_case(report, scene), GROUND, "0" * 12)
    wide = replace(found, rule="-p tcp -m comment --comment kubereach:0 -j ACCEPT")
    with pytest.raises(NoPlanError, match=r"more than it should: 10\.244\.4\.138 -> 172\.31\.16\.124 protocol 6 port 22"):
        finished(wide, scene)


def test_other_tables_and_chains_stay_as_they_are(looked):
    report, scene = looked(("*filter", "*raw\n:PREROUTING ACCEPT [0:0]\nCOMMIT\n*filter"))
    case = make_case(agreed(report), scene)
    changed = with_rule(scene.ruleset, case.rule, 3, "-j ACCEPT")
    (raw, before), (same, after) = scene.ruleset.tables, changed.tables
    assert same == raw
    assert len(after.chain("INPUT").rules) == len(before.chain("INPUT").rules) + 1
    assert after.chain("OUTPUT") == before.chain("OUTPUT")
    assert [rule.number for rule in after.chain("INPUT").rules] == [1, 2, 3, 4]


def test_ports_beside_the_kubelets_own_are_tried(looked):
    """A kubelet on a port of the list, or at the list's start, is not among what must not change."""
    report, scene = looked()
    case = make_case(report, scene)
    for port in (443, 1024):
        flow, packet = replace(case.flow, port=port), replace(case.packet, dport=port)
        same = blast_radius(scene.ruleset, scene.ruleset, packet, flow)
        assert (same.tried, same.changed) == (200, ())
