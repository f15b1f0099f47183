"""Ready means: something of the firewall can be read."""

import pytest

from agent.model.capture import NFT_JSON, Firewall, Problem, Reading
from agent.model.preflight import Check
from agent.service.fake import FakeHost
from agent.service.readiness import read_readiness
from agent.service.remembered import Remembered

READ = Reading(name=NFT_JSON, argv=("nft",), status=0)
LOST = Problem(what="nft", why="not found", remedy="Install it: apt-get install nftables.")


@pytest.mark.parametrize(
    ("firewall", "ready", "said"),
    [
        (Firewall(readings=(READ,)), True, "read nft-json"),
        (Firewall(readings=(READ,), problems=(LOST,)), True, "not read: nft: not found"),
        (Firewall(), True, "no backend is in use"),
        (Firewall(problems=(LOST,)), False, "nothing could be read"),
        (Firewall(readings=(Reading(name=NFT_JSON, argv=("nft",), status=1),), problems=(LOST,)), False, "nft: not found"),
    ],
    ids=["read", "partly read", "nothing there", "nothing read", "refused"],
)
def test_the_attempt_decides(capture, firewall, ready, said):
    check = Check(name="CAP_NET_RAW", ok=False, detail="missing")
    object.__setattr__(capture, "before", firewall)
    found = read_readiness(FakeHost(capture, checks=(check,)))
    assert found.ready is ready
    assert found.checks[0] == check
    assert said in found.checks[1].detail


def test_an_answer_is_kept_for_a_while_and_an_error_is_not():
    class Hand:
        time = 0.0

        def monotonic(self):
            return self.time

    hand, answers = Hand(), iter([1, ValueError("no"), 2])

    def ask():
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    kept = Remembered(ask, hand, 10.0)
    assert kept.get() == kept.get() == 1
    hand.time = 10.0
    with pytest.raises(ValueError, match="no"):
        kept.get()
    assert kept.get() == 2
