"""Saved files beside what runs: only the line that would let this packet in is named, and how it can be missing."""

import pytest

from agent.analysis.diagnosis.diagnose import analyse
from agent.model.capture import Capture

from .captures import PROHIBITED, capture, firewall
from .test_owners import (
    BY_UFW,
    BY_ZONES,
    HOST_PROHIBITED,
    NFT,
    PODS_OPEN,
    RAW,
    REJECTED,
    SAVED,
    TIMED_OUT,
    cause,
    seen,
    text,
    with_files,
)

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


def zone(*sources: str) -> str:
    return f'<zone target="ACCEPT">{"".join(SOURCE.format(each) for each in sources)}</zone>'


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
