"""A large firewall read in rounds, at one generation."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest

from agent.analysis.path.explain import explain
from agent.analysis.path.reach import Asked
from agent.analysis.readers.read import read_firewall
from agent.host.operations import MaybeParts
from agent.model.capture import IPSET_SAVE, NFT_PART, Firewall, PartReading, Reading
from agent.model.explanation import Verdict
from agent.model.outline import Outline, Part
from agent.service import reading
from agent.service.host import HostError
from agent.service.reading import ATTEMPTS, hold, name_of, parts_of, read_again, read_for
from tests.unit.analysis.path.rulesets import packet
from tests.unit.model.test_assembly import ELSEWHERE, JUMP, OTHER, OUTLINE, PORT, part, saved

HELD = {item.part.name: item for item in (part("INPUT", [OTHER, ELSEWHERE], [PORT, JUMP]), part("A", [{"drop": None}]))}
ASKED = (Asked(packet()),)


@dataclass
class Node:
    """Answers from `held`; its generation rises by one after each of the first `restless` questions for parts."""

    held: dict[str, PartReading] = field(default_factory=lambda: dict(HELD))
    outline: Outline | None = OUTLINE
    restless: int = 0
    legacy: bool = False
    asked: list[str] = field(default_factory=list)

    def survey(self) -> Firewall:
        self.asked.append("survey")
        return Firewall(outline=self.outline)

    def firewall(self) -> Firewall:
        self.asked.append("firewall")
        return Firewall(readings=(Reading(name="whole", argv=(), status=0),))

    def parts(self, generation: int, wanted: Sequence[Part]) -> MaybeParts:
        assert self.outline is not None
        self.asked += [each.name for each in wanted]
        if self.restless:
            self.restless -= 1
            self.outline = replace(self.outline, generation=self.outline.generation + 1)
        if generation != self.outline.generation:
            return MaybeParts(None)
        sets = (Reading(name=IPSET_SAVE, argv=(), status=0, stdout="create a hash:net family inet\n"),)
        asks = any(self.held[each.name].save for each in wanted)
        return MaybeParts(tuple(self.held[each.name] for each in wanted), sets if asks else (), self.legacy)

    def hold(self, parts: Sequence[Part], *, whole: bool = False) -> str:
        assert not whole
        return " ".join(part.name for part in parts)


def read(node: object, before: Firewall | None = None) -> Firewall:
    return read_for(node, ASKED) if before is None else read_again(node, before, ASKED)  # type: ignore[arg-type]


def test_chains_are_read_as_the_packet_comes_to_them() -> None:
    node = Node()
    found = read(node)
    assert node.asked == ["survey", "INPUT", "A"]
    explanation = explain(read_firewall(found), packet())
    assert (explanation.verdict, explanation.problems) == (Verdict.DROP, ())


def test_a_small_firewall_comes_whole() -> None:
    assert read(Node(outline=None)).outline is None


def test_a_reading_begins_again_when_the_rules_change_in_the_middle() -> None:
    node = Node(restless=1)
    assert {item.part.name for item in read(node).parts} == {"INPUT", "A"}
    assert node.asked.count("survey") == 2


def test_rules_that_always_change_are_unread_and_no_accept_is_made_of_them() -> None:
    node = Node(restless=99)
    found = read(node)
    assert node.asked.count("survey") == ATTEMPTS
    explanation = explain(read_firewall(found), packet())
    assert explanation.verdict is Verdict.UNDECIDED
    assert "changed during each of" in " ".join(explanation.problems)


def test_only_the_same_parts_are_read_again_and_their_counters_are_of_now() -> None:
    node = Node()
    before = read(node)
    node.asked.clear()
    node.held["A"] = part("A", [{"counter": {"packets": 9, "bytes": 9}}, {"drop": None}])
    after = read(node, before)
    assert node.asked == ["INPUT", "A"]
    assert [item.part for item in after.parts] == [item.part for item in before.parts]
    assert after.parts[1] == node.held["A"]


def test_a_changed_rule_is_seen_when_the_rules_are_read_again() -> None:
    node = Node()
    before = read(node)
    node.outline = replace(OUTLINE, generation=8)
    node.held["INPUT"] = part("INPUT", [PORT, {"accept": None}])
    assert explain(read_firewall(read(node, before)), packet()).verdict is Verdict.ACCEPT
    node.restless = 1
    node.held["INPUT"] = part("INPUT", [PORT, {"drop": None}])
    assert explain(read_firewall(read(node, before)), packet()).verdict is Verdict.DROP


def test_legacy_tables_that_came_to_be_are_seen_when_the_rules_are_read_again() -> None:
    node = Node()
    before = read(node)
    node.asked.clear()
    node.legacy = True
    read(node, before)
    assert node.asked.count("survey") == 1


def test_with_legacy_tables_beside_them_everything_is_read_again() -> None:
    node = Node()
    before = replace(read(node), readings=(Reading(name="legacy", argv=(), status=0),))
    node.asked.clear()
    assert read(node, before).readings == ()
    assert node.asked == ["survey", "INPUT", "A"]


def test_a_firewall_that_was_read_whole_is_read_whole_again() -> None:
    node = Node()
    read(node, Firewall())
    assert node.asked == ["firewall"]


def test_too_many_chains_are_read_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "_MOST", 1)
    node = Node()
    assert read(node).readings[0].name == "whole"


def test_sets_come_with_the_rules_that_ask_for_them() -> None:
    node = Node()
    node.held["INPUT"] = saved(node.held["INPUT"], "")
    found = read(node)
    assert [each.name for each in found.readings] == [IPSET_SAVE]


def test_a_chain_is_understood_again_with_the_map_that_it_lacked() -> None:
    node = Node()
    key = {"payload": {"protocol": "tcp", "field": "dport"}}
    node.held["INPUT"] = part("INPUT", [{"vmap": {"key": key, "data": "@ends"}}])
    body = {"family": "ip", "table": "filter", "name": "ends", "elem": [[10250, JUMP]]}
    node.held["ends"] = part("ends", kind="map", body=body)
    assert explain(read_firewall(read(node)), packet()).verdict is Verdict.DROP
    assert node.asked == ["survey", "INPUT", "ends", "A"]


def test_a_part_that_cannot_be_read_is_asked_once_and_left_undecided() -> None:
    node = Node()
    gone = Reading(name=NFT_PART, argv=(), status=1, stderr="No such file\n")
    node.held["A"] = replace(node.held["A"], listing=gone)
    explanation = explain(read_firewall(read(node)), packet())
    assert node.asked.count("A") == 1
    assert explanation.verdict is Verdict.UNDECIDED


def test_the_twin_knows_rules_by_their_digest_and_those_read_in_part_by_what_the_broker_holds() -> None:
    node = Node()
    found = read(node)
    whole = replace(found, outline=None, parts=())
    assert name_of(node, whole) == whole.digest()
    assert name_of(node, found) == " ".join(part.name for part in parts_of(found))
    assert parts_of(found)


def test_more_chains_than_one_request_can_name_are_not_held() -> None:
    many = [Part(kind="chain", family="ip", table="nat", name=f"KUBE-SVC-{number}") for number in range(401)]
    with pytest.raises(HostError, match="401 chains and sets"):
        hold(Node(), many)
    assert hold(Node(), many[:400]).startswith("KUBE-SVC-0 ")
