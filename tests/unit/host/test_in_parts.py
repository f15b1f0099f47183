"""A firewall of parts for the twin and for a fix: what is whole, what is there by name, and who says so."""

import json
from dataclasses import replace

import pytest

from agent.host import firewall, nftnetlink, readings
from agent.host.errors import HostError
from agent.host.in_parts import hold, put_together
from agent.host.readings import KnownParts
from agent.model.capture import IPSET_SAVE, LEGACY_SAVE, NFT_JSON, NFT_SAVE, Firewall, PartReading, Reading
from agent.model.outline import Outline, OutlineChain, OutlineTable, Part
from tests.unit.model.test_assembly import PORT, part, saved

TABLES = tuple(OutlineTable(family="ip", name=name, handle=handle) for handle, name in enumerate(("filter", "nat"), 1))
BASES = tuple(
    OutlineChain(family="ip", table=table, name=name, handle=handle, hook=hook, kind=kind)
    for handle, (table, name, hook, kind) in enumerate(
        (("filter", "INPUT", 1, "filter"), ("filter", "FORWARD", 2, "filter"), ("nat", "PREROUTING", 0, "nat")), 1
    )
)
OUTLINE = Outline(generation=7, tables=TABLES, chains=BASES, chains_in_all=9)
FILTER = "*filter\n:INPUT ACCEPT [1:60]\n:FORWARD ACCEPT [0:0]\n:MINE - [0:0]\n[1:60] -A INPUT -j MINE\nCOMMIT\n"
WHOLE = (("ip", "filter", Reading(name=NFT_SAVE, argv=("iptables-nft-save",), status=0, stdout=FILTER)),)
HIDDEN = {"xt": {"type": "match", "name": "comment"}}


def nat(name: str, text: str, *targets: str) -> PartReading:
    """A chain of nat with a jump to each of these."""
    rules = [[HIDDEN, {"jump": {"target": target}}] for target in targets]
    body = {"family": "ip", "table": "nat", "name": name, "handle": 3}
    if name == "PREROUTING":
        body |= {"type": "nat", "hook": "prerouting", "prio": -100, "policy": "accept"}
    return saved(part(name, *rules, table="nat", body=body), text)


PARTS = (
    part("INPUT", [HIDDEN, {"jump": {"target": "MINE"}}]),
    nat(
        "PREROUTING",
        '-P PREROUTING ACCEPT -c 2 120\n-A PREROUTING -m comment --comment "a -c 1 2" -j KUBE-SERVICES\n',
        "KUBE-SERVICES",
    ),
    nat(
        "KUBE-SERVICES",
        "-N KUBE-SERVICES\n-A KUBE-SERVICES -d 10.96.0.1/32 -p tcp -m tcp --dport 443 -c 5 300 -j KUBE-SVC-A\n",
        "KUBE-SVC-A",
        "KUBE-SVC-B",
    ),
)


def read(*parts: PartReading, **more: object) -> Firewall:
    return Firewall(outline=OUTLINE, parts=parts, **more)  # type: ignore[arg-type]


def text_of(found: Firewall, name: str) -> str:
    reading = found.reading(name)
    assert reading is not None
    return reading.stdout


def test_tables_are_whole_and_of_nat_there_is_what_counts() -> None:
    held = put_together(read(*PARTS), OUTLINE, WHOLE)
    text = text_of(held.firewall, NFT_SAVE)
    assert text.startswith(FILTER)
    assert text.removeprefix(FILTER).splitlines() == [
        "*nat",
        ":KUBE-SVC-A - [0:0]",
        ":KUBE-SVC-B - [0:0]",
        ":PREROUTING ACCEPT [2:120]",
        ":KUBE-SERVICES - [0:0]",
        '-A PREROUTING -m comment --comment "a -c 1 2" -j KUBE-SERVICES',
        "[5:300] -A KUBE-SERVICES -d 10.96.0.1/32 -p tcp -m tcp --dport 443 -j KUBE-SVC-A",
        "COMMIT",
    ]
    assert held.unread == (("ip", "nat", "KUBE-SVC-A"), ("ip", "nat", "KUBE-SVC-B"))
    assert held.firewall.outline is None
    assert not held.firewall.parts
    chains = [item["chain"]["name"] for item in json.loads(text_of(held.firewall, NFT_JSON))["nftables"] if "chain" in item]
    assert {"INPUT", "FORWARD", "MINE", "KUBE-SVC-A", "KUBE-SVC-B"} <= set(chains)


@pytest.mark.parametrize(
    "change",
    [
        {"stdout": "# Table `filter' is incompatible, use 'nft' tool.\n"},
        {"status": 1, "stdout": ""},
        {"status": None, "stdout": "", "problem": "did not end in time"},
    ],
)
def test_a_table_that_cannot_be_saved_is_as_its_parts_are(change: dict[str, object]) -> None:
    lost = [(family, table, replace(reading, **change)) for family, table, reading in WHOLE]  # type: ignore[arg-type]
    held = put_together(read(*PARTS), OUTLINE, lost)
    assert "*filter" not in text_of(held.firewall, NFT_SAVE)
    assert {("ip", "filter", "FORWARD"), ("ip", "filter", "MINE")} <= set(held.unread)


def test_what_nobody_named_is_unread_and_a_set_that_is_lacking_a_problem() -> None:
    lookup = {"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "saddr"}}, "right": "@pods"}}
    held = put_together(read(part("INPUT", [PORT, lookup])), OUTLINE, ())
    assert set(held.unread) == {("ip", "filter", "FORWARD"), ("ip", "nat", "PREROUTING")}
    assert [problem.what for problem in held.firewall.problems] == ["the set ip filter pods"]
    failed = replace(PARTS[0], listing=replace(PARTS[0].listing, status=1, problem=""))
    (problem,) = put_together(read(failed), OUTLINE, ()).firewall.problems
    assert "status 1" in problem.why


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> dict[str, Firewall]:
    """What `firewall.frame` finds, under "frame"."""
    legacy = Reading(name=LEGACY_SAVE, argv=(), status=0, stdout="*filter\nCOMMIT\n")
    state = {"frame": Firewall(outline=OUTLINE, readings=(legacy,), legacy_tables=("filter",))}
    monkeypatch.setattr(firewall, "frame", lambda *_: state["frame"])
    monkeypatch.setattr(firewall, "save_table", lambda _family, _table: WHOLE[0][2])
    monkeypatch.setattr(firewall, "read_sets", lambda: (Reading(name=IPSET_SAVE, argv=(), status=0),))
    return state


def test_around_the_parts_is_all_that_is_read_in_any_case(node: dict[str, Firewall]) -> None:
    asked: list[object] = []
    names = [item.part for item in PARTS]
    held = hold(names, lambda: OUTLINE, lambda generation, parts: asked.append((generation, parts)) or PARTS, whole=True)
    assert asked == [(7, names)]
    assert FILTER in text_of(held.firewall, NFT_SAVE)
    few = hold(names, lambda: OUTLINE, lambda *_: PARTS)
    assert "*filter" not in text_of(few.firewall, NFT_SAVE)
    assert set(few.unread) > set(held.unread)
    assert [reading.name for reading in held.firewall.readings] == [NFT_JSON, NFT_SAVE, LEGACY_SAVE]
    assert held.firewall.legacy_tables == ("filter",)


def test_sets_are_read_where_a_rule_names_one(node: dict[str, Firewall]) -> None:
    ruled = saved(PARTS[0], "-A INPUT -m set --match-set pods src -j DROP\n")
    assert hold([ruled.part], lambda: OUTLINE, lambda *_: (ruled,)).firewall.reading(IPSET_SAVE) is not None
    known = Reading(name=IPSET_SAVE, argv=(), status=0, stdout="create pods hash:ip\n")
    node["frame"] = replace(node["frame"], readings=(known,))
    assert hold([ruled.part], lambda: OUTLINE, lambda *_: (ruled,)).firewall.reading(IPSET_SAVE) is known


def test_rules_that_never_stand_still_are_not_held(node: dict[str, Firewall]) -> None:
    tries: list[int] = []
    with pytest.raises(HostError, match="changed during each of 3"):
        hold([], lambda: OUTLINE, lambda generation, _: tries.append(generation))
    assert len(tries) == 3
    with pytest.raises(HostError, match="is not told"):
        hold([], lambda: None, lambda *_: ())


def test_parts_are_known_for_one_generation_and_never_given_with_old_counters(monkeypatch: pytest.MonkeyPatch) -> None:
    read_now: list[Part] = []

    def read_parts(generation: int, wanted: list[Part]) -> tuple[PartReading, ...] | None:
        read_now.extend(wanted)
        return tuple(item for item in PARTS if item.part in wanted) if generation else None

    monkeypatch.setattr(firewall, "read_parts", read_parts)
    known, names = KnownParts(), [item.part for item in PARTS]
    assert known.read(1, names[:2]) == PARTS[:2]
    assert known.recall(1, names) == PARTS
    assert read_now == names
    assert known.read(1, names[:1]) == PARTS[:1]
    assert len(read_now) == 4
    assert known.recall(2, names) == PARTS
    assert len(read_now) == 7
    assert known.recall(0, names) is None
    monkeypatch.setattr(readings, "_LIMIT", 1)
    known.read(3, names)
    known.recall(3, names)
    assert len(read_now) == 7 + 3 * 3


def test_only_known_words_of_a_chains_listing_become_a_save() -> None:
    odd = nat("PREROUTING", "-P PREROUTING DROP\n-N A b\n-A PREROUTING -j ACCEPT\n")
    text = text_of(put_together(read(odd), OUTLINE, ()).firewall, NFT_SAVE)
    assert text.splitlines() == ["*nat", ":PREROUTING DROP [0:0]", "-N A b", "-A PREROUTING -j ACCEPT", "COMMIT"]


def test_an_outline_is_read_again_when_its_generation_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    now, times = [7], list[int]()

    class Reader:
        def __enter__(self) -> "Reader":
            return self

        def __exit__(self, *_: object) -> None: ...

        def generation(self) -> int:
            return now[0]

    def read_outline() -> Outline:
        times.append(now[0])
        return replace(OUTLINE, generation=now[0])

    monkeypatch.setattr(nftnetlink, "Reader", Reader)
    monkeypatch.setattr(firewall, "read_outline", read_outline)
    known = KnownParts()
    known.note(OUTLINE)
    assert known.outline() is OUTLINE
    now[0] = 8
    assert known.outline() == known.outline() == replace(OUTLINE, generation=8)
    known.note(None)
    known.outline()
    assert times == [8, 8]
