"""agent.analysis.diagnosis.second_reading: python-iptables' decoding beside our own."""

from dataclasses import replace

import pytest

from agent.analysis.diagnosis.second_reading import differences
from agent.analysis.readers import parse_iptables
from agent.model.capture import LegacyChain, LegacyRule
from agent.model.ruleset import Backend, Ruleset

SAVE = """*filter
:INPUT DROP [0:0]
:MINE - [0:0]
-A INPUT -s 10.0.0.0/8 ! -d 10.1.0.0/16 -p tcp -j ACCEPT
-A INPUT -p 250 -j MINE
-A INPUT ! -p udp -j LOG
-A INPUT -s 10.0.0.0/255.0.255.0 -j RETURN
-A INPUT -m iprange --src-range 10.0.0.1-10.0.0.3 -j DROP
COMMIT
"""
RULES = (
    LegacyRule(number=1, target="ACCEPT", protocol="tcp", source="10.0.0.0/255.0.0.0", destination="!10.1.0.0/255.255.0.0"),
    LegacyRule(number=2, target="MINE", protocol="250", source="0.0.0.0/0.0.0.0"),
    LegacyRule(number=3, target="LOG", protocol="!udp"),
    LegacyRule(number=4, target="RETURN"),
    LegacyRule(number=5, target="DROP", matches=("iprange",)),
)
SECOND = LegacyChain(policy="DROP", rules=RULES)


def read(text: str = SAVE) -> Ruleset:
    return parse_iptables.parse(text, Backend.LEGACY, "ip")


def test_two_readings_of_the_same_chain_agree() -> None:
    assert differences(read(), SECOND) == ()


def test_what_is_written_otherwise_and_means_the_same_agrees() -> None:
    assert (
        differences(
            read("*filter\n:INPUT ACCEPT\n-A INPUT -j DROP\nCOMMIT\n"),
            LegacyChain(rules=(LegacyRule(number=1, target="DROP", protocol="all", source="0.0.0.0/0"),)),
        )
        == ()
    )


@pytest.mark.parametrize(
    ("second", "sentence"),
    [
        (replace(SECOND, policy="ACCEPT"), "iptables-legacy-save shows policy DROP, python-iptables ACCEPT"),
        (replace(SECOND, rules=RULES[:1]), "iptables-legacy-save shows 5 rules in INPUT, python-iptables 1"),
        (
            replace(SECOND, rules=(replace(RULES[0], target="DROP"), *RULES[1:])),
            "rule 1: iptables-legacy-save shows target ACCEPT, python-iptables DROP",
        ),
        (
            replace(SECOND, rules=(replace(RULES[0], source=""), *RULES[1:])),
            "rule 1: iptables-legacy-save shows source 10.0.0.0/8, python-iptables none",
        ),
        (
            replace(SECOND, rules=(*RULES[:3], replace(RULES[3], source="nonsense"), RULES[4])),
            "rule 4: iptables-legacy-save shows source none, python-iptables nonsense",
        ),
    ],
)
def test_each_difference_is_a_sentence(second: LegacyChain, sentence: str) -> None:
    assert differences(read(), second)[0] == sentence


@pytest.mark.parametrize("ruleset", [Ruleset(()), parse_iptables.parse(SAVE, Backend.NFT, "ip")])
def test_a_chain_that_only_one_of_them_sees(ruleset: Ruleset) -> None:
    assert differences(ruleset, SECOND) == (
        "python-iptables sees a legacy INPUT chain that iptables-legacy-save does not show",
    )
