"""Saved files beside what runs: only the line that would let this packet in is named, and how it can be missing."""

from dataclasses import replace

import pytest

from agent.analysis.diagnosis.diagnose import analyse
from agent.model.capture import Capture, TextFile

from .captures import PROHIBITED, capture, firewall
from .test_owners import HOST_PROHIBITED, PODS_OPEN, RAW, TIMED_OUT, cause, seen, text

SAVED = text(f"INPUT {PODS_OPEN}", f"INPUT {HOST_PROHIBITED}")
REJECTED = seen(f"INPUT {HOST_PROHIBITED}", hit=("INPUT", 1), pod=PROHIBITED)
BY_ZONES = seen(
    "INPUT -j INPUT_ZONES", f"INPUT {HOST_PROHIBITED}", "INPUT_ZONES -i lo -j ACCEPT", hit=("INPUT", 2), pod=PROHIBITED
)
BY_UFW = seen("INPUT -j ufw-before-input", "ufw-before-input -i lo -j ACCEPT", hit=("INPUT", 0), policy="DROP")
BLOCKED_BY = {"iptables": REJECTED, "sysconfig": REJECTED, "nftables": REJECTED, "ufw": BY_UFW, "firewalld": BY_ZONES}
UFW_RULES = "*filter\n:ufw-user-input - [0:0]\n-A ufw-user-input -p tcp --dport 10250 -s 10.9.1.0/24 -j ACCEPT\nCOMMIT\n"
ZONE = '<zone target="{target}">\n{open}<source address="10.9.1.0/24"/>{close}\n</zone>\n'
NFT = "table ip filter {{\n chain input {{\n  ip saddr {source} tcp dport {port} {more}accept\n }}\n}}\n"
SSH = "INPUT -p tcp -m tcp --dport 22 -j ACCEPT"
UFW_FILE = "*filter\n:ufw-user-input - [0:0]\n{0}COMMIT\n"
UFW_OTHER = "-A ufw-user-input -p tcp --dport 10250 -s 192.0.2.0/24 -j ACCEPT\n"
UFW_DENY = "-A ufw-user-input -s 10.9.0.0/16 -j DROP\n"
UFW_PODS = "-A ufw-user-input -p tcp --dport 10250 -s 10.9.1.0/24 -j ACCEPT\n"
SOURCE = '<source address="{0}"/>'
IN_FORCE = seen(
    "INPUT -j INPUT_ZONES",
    f"INPUT {HOST_PROHIBITED}",
    "INPUT_ZONES -s 10.9.1.0/24 -g IN_trusted",
    "IN_trusted -p tcp -m tcp --dport 22 -j ACCEPT",
    hit=("INPUT", 2),
    pod=PROHIBITED,
)


def with_files(taken: Capture, *files: tuple[str, str]) -> Capture:
    saved = tuple(TextFile(path=path, text=content) for path, content in files)
    return replace(taken, node=replace(taken.node, firewall_files=saved))


def zone(*sources: str) -> str:
    return f'<zone target="ACCEPT">{"".join(SOURCE.format(each) for each in sources)}</zone>'


@pytest.mark.parametrize(
    ("path", "content", "line"),
    [
        ("/etc/iptables/rules.v4", SAVED, PODS_OPEN),
        ("/etc/sysconfig/iptables", SAVED, PODS_OPEN),
        ("/etc/ufw/user.rules", UFW_RULES, "-s 10.9.1.0/24 -j ACCEPT"),
        (
            "/etc/firewalld/zones/trusted.xml",
            ZONE.format(target="ACCEPT", open="", close=""),
            '<source address="10.9.1.0/24"/>',
        ),
        ("/etc/nftables.conf", NFT.format(source="10.9.0.0/16", port=10250, more="counter "), "tcp dport 10250 counter accept"),
    ],
)
def test_an_accept_that_is_saved_and_does_not_run_is_the_cause(path: str, content: str, line: str) -> None:
    found = cause(analyse(with_files(BLOCKED_BY[path.split("/")[2].partition(".")[0]], (path, content))))
    assert found.code == "saved-rule-not-loaded"
    assert found.remedy is not None
    assert list(found.remedy.persistent) == ["the saved file"]
    assert path in found.message
    assert line in found.message


@pytest.mark.parametrize(
    ("path", "content"),
    [
        pytest.param("/etc/iptables/rules.v4", text(f"INPUT {HOST_PROHIBITED}", f"INPUT {PODS_OPEN}"), id="behind the reject"),
        pytest.param("/etc/iptables/rules.v4", text("INPUT -i lo -j ACCEPT"), id="no rule names pods: a policy lets them in"),
        pytest.param("/etc/iptables/rules.v6", SAVED, id="the other family's file"),
        pytest.param("/etc/iptables/rules.v4", "no rules at all\n", id="not a saved table"),
        pytest.param("/etc/nftables.conf", NFT.format(source="10.9.1.0/24", port=22, more=""), id="another port"),
        pytest.param("/etc/nftables.conf", NFT.format(source="10.7.0.0/16", port=10250, more=""), id="another network"),
        pytest.param(
            "/etc/nftables.conf", NFT.format(source="10.9.1.0/24", port=10250, more="limit rate 1/hour "), id="a limit"
        ),
        pytest.param(
            "/etc/nftables.conf",
            NFT.replace("ip filter", "inet mine").format(source="10.9.1.0/24", port=10250, more=""),
            id="another table",
        ),
        pytest.param("/etc/ufw/user.rules", UFW_RULES, id="ufw's rules where ufw has no chain"),
        pytest.param(
            "/etc/firewalld/zones/trusted.xml", ZONE.format(target="ACCEPT", open="", close=""), id="firewalld has no chain"
        ),
    ],
)
def test_a_saved_file_that_would_not_help_is_not_named(path: str, content: str) -> None:
    assert cause(analyse(with_files(REJECTED, (path, content)))).code == "input-reject"


@pytest.mark.parametrize(
    ("path", "content", "taken", "code"),
    [
        ("/etc/firewalld/zones/public.xml", ZONE.format(target="default", open="", close=""), BY_ZONES, "firewalld-reject"),
        ("/etc/firewalld/zones/a.xml", ZONE.format(target="ACCEPT", open="<!-- ", close=" -->"), BY_ZONES, "firewalld-reject"),
        ("/etc/iptables/rules.v4", SAVED, BY_ZONES, "firewalld-reject"),
        ("/etc/ufw/user6.rules", UFW_RULES, BY_UFW, "ufw-block"),
    ],
    ids=["another zone", "commented out", "iptables' file where firewalld rules", "ufw's rules for IPv6"],
)
def test_a_saved_file_that_is_not_the_owners_or_not_in_force_is_not_named(
    path: str, content: str, taken: Capture, code: str
) -> None:
    assert cause(analyse(with_files(taken, (path, content)))).code == code


def test_iptables_own_file_is_the_cause_where_ufw_took_its_chain() -> None:
    assert cause(analyse(with_files(BY_UFW, ("/etc/iptables/rules.v4", SAVED)))).code == "saved-rule-not-loaded"


def test_an_accept_that_runs_in_the_wrong_place_is_not_missing() -> None:
    late = seen(f"INPUT {HOST_PROHIBITED}", f"INPUT {PODS_OPEN}", hit=("INPUT", 1), pod=PROHIBITED)
    assert cause(analyse(with_files(late, ("/etc/iptables/rules.v4", SAVED)))).code == "accept-after-block"


def test_a_policy_engines_word_stands_whatever_is_saved() -> None:
    policy = seen("INPUT -j cali-fw-1", "cali-fw-1 -j DROP", hit=("cali-fw-1", 1))
    assert cause(analyse(with_files(policy, ("/etc/iptables/rules.v4", SAVED)))).code == "policy-engine-block"


@pytest.mark.parametrize(
    ("running", "words"),
    [
        (REJECTED, "No rule that this file alone has runs: it was not loaded"),
        (seen(SSH, f"INPUT {HOST_PROHIBITED}", hit=("INPUT", 2), pod=PROHIBITED), "this one was added to the file later"),
    ],
    ids=["nothing of the file runs", "the rest of the file runs"],
)
def test_a_file_that_was_never_loaded_is_told_from_one_that_was_changed_since(running: Capture, words: str) -> None:
    saved = text(SSH, f"INPUT {PODS_OPEN}", f"INPUT {HOST_PROHIBITED}")
    found = cause(analyse(with_files(running, ("/etc/iptables/rules.v4", saved))))
    assert (found.code, words in found.message) == ("saved-rule-not-loaded", True), found.message


def test_an_accept_in_another_table_than_the_block_would_not_help() -> None:
    before = [firewall(text(before=RAW.format(hits=hits, rule="-s 10.9.1.0/24 -j DROP"))) for hits in (0, 1)]
    taken = with_files(capture(*before, TIMED_OUT), ("/etc/iptables/rules.v4", SAVED))
    assert cause(analyse(taken)).code == "input-drop"


@pytest.mark.parametrize(
    ("rules", "code"),
    [
        pytest.param(UFW_OTHER + UFW_PODS, "saved-rule-not-loaded", id="behind a rule for others"),
        pytest.param(UFW_DENY + UFW_PODS, "ufw-block", id="behind a deny"),
        pytest.param(UFW_OTHER, "ufw-block", id="for others only"),
    ],
)
def test_ufws_saved_rules_are_read_in_their_order(rules: str, code: str) -> None:
    assert cause(analyse(with_files(BY_UFW, ("/etc/ufw/user.rules", UFW_FILE.format(rules))))).code == code


@pytest.mark.parametrize("others", ["192.0.2.0/24", "10.9.1.0/99"], ids=["another network", "not a network"])
def test_a_zones_other_sources_do_not_hide_the_pods(others: str) -> None:
    path = "/etc/firewalld/zones/trusted.xml"
    found = cause(analyse(with_files(BY_ZONES, (path, zone(others, "10.9.1.0/24")))))
    assert (found.code, SOURCE.format("10.9.1.0/24") in found.message) == ("saved-rule-not-loaded", True)
    assert cause(analyse(with_files(BY_ZONES, (path, zone(others))))).code == "firewalld-reject"


def test_a_source_that_firewalld_sends_to_its_zone_already_is_not_missing() -> None:
    taken = with_files(IN_FORCE, ("/etc/firewalld/zones/trusted.xml", zone("10.9.1.0/24")))
    assert cause(analyse(taken)).code == "firewalld-reject"


def test_a_line_of_nftables_conf_that_runs_behind_the_block_is_not_missing() -> None:
    late = seen(f"INPUT {HOST_PROHIBITED}", f"INPUT {PODS_OPEN}", hit=("INPUT", 1), pod=PROHIBITED)
    saved = NFT.format(source="10.9.1.0/24", port=10250, more="")
    assert cause(analyse(with_files(late, ("/etc/nftables.conf", saved)))).code == "accept-after-block"
