"""The incidents as data: whoever adds one gets the mistakes shown that a wrong fact would hide."""

import re
from ipaddress import ip_network

import pytest

from agent.analysis.diagnosis.catalog import CATALOG
from agent.lab.errors import UnknownIncidentError
from agent.lab.incidents import INCIDENTS, Incident, find_incident
from agent.lab.rules import Rules
from agent.model.explanation import Verdict
from agent.model.report import State
from agent.model.ruleset import Backend


def rules_of(text: str, chain: str) -> list[str]:
    return re.findall(rf"^-A {chain} (.*)$", text, re.MULTILINE)


def text_of(rules: Rules, backend: Backend, incident: Incident) -> str:
    """What decides about the address that is probed first."""
    if incident.stack == "6":
        return rules.legacy6 if backend is Backend.LEGACY else rules.nft6
    return rules.legacy if backend is Backend.LEGACY else rules.nft


def test_names_are_unique_and_kebab_case():
    names = [incident.name for incident in INCIDENTS]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name) for name in names)


def test_a_story_is_one_line_that_ends_in_a_full_stop():
    for incident in INCIDENTS:
        assert "\n" not in incident.story, incident.name
        assert incident.story.endswith("."), incident.name


def test_the_expected_cause_is_one_that_the_catalogue_has():
    for incident in INCIDENTS:
        assert (incident.expect.code in CATALOG) is (incident.expect.state is not State.REACHABLE), incident.name


def test_a_healthy_node_has_a_name_that_says_so():
    for incident in INCIDENTS:
        fine = incident.expect.state is State.REACHABLE
        assert fine is ("healthy" in incident.name), incident.name
        assert fine is incident.story.startswith(("Nothing is wrong", "Both IP versions are open")), incident.name


def test_pod_networks_and_files_are_the_nodes_own():
    for incident in INCIDENTS:
        assert all(ip_network(cidr) for cidr in incident.pod_cidrs), incident.name
        assert ("6" in incident.stack) is any(":" in cidr for cidr in incident.pod_cidrs), incident.name
        assert all(not path.startswith("/") for path, _ in incident.etc), incident.name


def test_whoever_is_blocked_by_a_rule_names_it():
    for incident in INCIDENTS:
        assert (incident.expect.decider is not None) is (incident.expect.verdict in (Verdict.DROP, Verdict.REJECT)), (
            incident.name
        )


def test_the_deciding_rule_stands_where_it_is_said_to():
    for incident in INCIDENTS:
        decider = incident.expect.decider
        for backend, rules in incident.rules.items():
            text = text_of(rules, backend, incident)
            if decider is None or f"*{decider.table}\n" not in text:
                continue
            if decider.rule_number is None:
                assert f":{decider.chain} DROP" in text, incident.name
            else:
                assert re.search("-j (REJECT|DROP)", rules_of(text, decider.chain)[decider.rule_number - 1]), incident.name


def test_the_rule_that_stops_the_answer_stands_where_it_is_said_to():
    for incident in INCIDENTS:
        stopper = incident.expect.reply
        if stopper is not None:
            assert incident.expect.verdict is Verdict.ACCEPT, incident.name
            for rules in incident.rules.values():
                written = re.findall(rf"^-A {stopper.chain} (.*)$", rules.legacy + rules.nft, re.MULTILINE)
                assert written[(stopper.rule_number or 0) - 1].endswith("-j DROP"), incident.name


def test_pods_are_masqueraded_by_exactly_one_backend():
    for incident in INCIDENTS:
        for rules in incident.rules.values():
            assert (rules.legacy + rules.nft).count("-j MASQUERADE") == 1, incident.name


def test_the_default_is_nft_where_there_is_a_choice():
    for incident in INCIDENTS:
        assert incident.default_backend in incident.backends
        assert (incident.default_backend is Backend.NFT) is (Backend.NFT in incident.backends)


def test_an_incident_is_found_by_its_name():
    assert find_incident("healthy").name == "healthy"


def test_an_unknown_name_is_answered_with_those_that_exist():
    with pytest.raises(UnknownIncidentError, match="centos-reject"):
        find_incident("no-such")


def test_rules_of_nobody_are_empty():
    assert Rules() == Rules(legacy="", nft="", native="")


def test_there_are_incidents_of_both_ip_versions_and_of_both_backends():
    assert len(INCIDENTS) >= 35
    assert {incident.stack for incident in INCIDENTS} == {"4", "6", "46"}
    both = [incident for incident in INCIDENTS if len(incident.backends) == 2]
    assert len(both) * 2 > len(INCIDENTS)
