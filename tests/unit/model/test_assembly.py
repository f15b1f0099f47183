"""nftables put together from an outline and the parts that were read."""

import json
from dataclasses import replace
from ipaddress import ip_network

import pytest

from agent.analysis.path.explain import Way, explain, explain_way
from agent.analysis.path.reach import Asked, find_unread
from agent.analysis.readers.read import read_firewall, read_parts
from agent.model.assembly import assemble
from agent.model.capture import NFT_PART, NFT_RULES, Firewall, PartReading, Reading
from agent.model.codec import from_plain, to_plain
from agent.model.explanation import Verdict
from agent.model.outline import Outline, OutlineChain, OutlineTable, Part
from tests.unit.analysis.path.rulesets import packet

INPUT = OutlineChain(family="ip", table="filter", name="INPUT", handle=1, hook=1, kind="filter")
FORWARD = OutlineChain(family="ip", table="filter", name="FORWARD", handle=2, hook=2, kind="filter", policy=0)
OUTLINE = Outline(
    generation=7, tables=(OutlineTable(family="ip", name="filter", handle=1),), chains=(INPUT, FORWARD), chains_in_all=4
)


def part(name: str, *rules: list[object], kind: str = "chain", table: str = "filter", body: object = None) -> PartReading:
    place = {"family": "ip", "table": table, "chain": name}
    head = {kind: body or {"family": "ip", "table": table, "name": name, "handle": 1}}
    if name in ("INPUT", "FORWARD") and body is None:
        head["chain"] |= {"type": "filter", "hook": name.lower(), "prio": 0, "policy": "accept"}
    lines = [{"rule": {**place, "handle": 10 + number, "expr": list(rule)}} for number, rule in enumerate(rules)]
    text = json.dumps({"nftables": [{"metainfo": {}}, head, *lines]})
    listing = Reading(name=NFT_PART, argv=("nft",), status=0, stdout=text)
    return PartReading(part=Part(kind=kind, family="ip", table=table, name=name), listing=listing)


def saved(item: PartReading, text: str, status: int = 0, stderr: str = "") -> PartReading:
    return replace(item, save=Reading(name=NFT_RULES, argv=("iptables-nft",), status=status, stdout=text, stderr=stderr))


def read(*parts: PartReading, outline: Outline = OUTLINE) -> Firewall:
    return Firewall(outline=outline, parts=parts)


PORT = {"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": 10250}}
OTHER = {"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": 80}}
JUMP, ELSEWHERE = {"jump": {"target": "A"}}, {"goto": {"target": "B"}}
TABLE = ("ip", "filter")


def test_a_chain_that_was_not_read_is_no_empty_chain() -> None:
    for parts in ((), (part("INPUT", [PORT, JUMP]),)):
        found = explain(read_firewall(read(*parts)), packet())
        assert found.verdict is Verdict.UNDECIDED
        assert "were not read" in " ".join(each.why for each in found.assumptions) or "was not read" in str(found.assumptions)


def test_what_the_packet_can_come_to_is_wanted_and_nothing_else() -> None:
    wanted = find_unread(read_firewall(read()), [Asked(packet())])
    assert wanted.chains == {(*TABLE, "INPUT")}
    behind = read(part("INPUT", [PORT, JUMP], [OTHER, ELSEWHERE]))
    assert find_unread(read_firewall(behind), [Asked(packet())]).chains == {(*TABLE, "A")}
    assert find_unread(read_firewall(behind), [Asked(packet(), Way.FORWARD)]).chains == {(*TABLE, "FORWARD")}
    whole = read(*behind.parts, part("A", [{"drop": None}]))
    assert not find_unread(read_firewall(whole), [Asked(packet())]).chains
    decided = explain_way(read_firewall(whole), packet(), Way.TO_NODE)
    assert decided.verdict is Verdict.DROP
    assert decided.decided_by is not None
    assert (decided.decided_by.chain, decided.decided_by.handle) == ("A", 10)


def test_a_chain_that_a_map_leads_to_is_wanted_once_the_map_is_read() -> None:
    key = {"payload": {"protocol": "tcp", "field": "dport"}}
    ruled = read(part("INPUT", [{"vmap": {"key": key, "data": "@ends"}}]))
    ends = Part(kind="map", family="ip", table="filter", name="ends")
    assert assemble(ruled, OUTLINE).lacking == {ends}
    body = {"family": "ip", "table": "filter", "name": "ends", "elem": [[10250, JUMP], [80, ELSEWHERE]]}
    known = read(*ruled.parts, part("ends", kind="map", body=body))
    assert not assemble(known, OUTLINE).lacking
    assert find_unread(read_firewall(known), [Asked(packet())]).chains == {(*TABLE, "A"), (*TABLE, "B")}


def test_sets_are_lacking_by_their_kind() -> None:
    lookup = {"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "saddr"}}, "right": "@pods"}}
    added = {"set": {"op": "add", "elem": {"payload": {"protocol": "ip", "field": "saddr"}}, "set": "@seen"}}
    sent = {"dnat": {"addr": {"map": {"key": {"payload": {"protocol": "ip", "field": "daddr"}}, "data": "@to"}}}}
    found = assemble(read(part("INPUT", [lookup, added, sent])), OUTLINE).lacking
    assert {(each.kind, each.name) for each in found} == {("set", "pods"), ("set", "seen"), ("map", "to")}


def test_the_save_line_fills_the_slots_and_brings_its_counter() -> None:
    hidden = {"xt": {"type": "match", "name": "comment"}}
    chain = part("INPUT", [PORT, hidden, {"counter": {"packets": 5, "bytes": 300}}, JUMP])
    text = '-P INPUT ACCEPT -c 2 120\n-A INPUT -p tcp -m tcp --dport 10250 -m comment --comment "a b" -c 5 300 -j A\n'
    (table,) = read_firewall(read(saved(chain, text))).tables
    ruled = table.chain("INPUT")
    assert ruled is not None
    assert ruled.rules[0].text == '-A INPUT -p tcp -m tcp --dport 10250 -m comment --comment "a b" -j A'
    assert ruled.rules[0].counter is not None
    assert ruled.rules[0].counter.packets == 5
    assert ruled.base is not None
    assert ruled.base.counter is not None
    assert ruled.base.counter.packets == 2


def test_a_comment_that_looks_like_a_counter_is_left_to_the_reader_of_words() -> None:
    chain = part("INPUT", [PORT, {"accept": None}])
    text = '-A INPUT -p tcp -m tcp --dport 10250 -m comment --comment "x -c 1 2 " -c 5 300 -j ACCEPT\n'
    ruleset, found = read_parts(read(saved(chain, text)), OUTLINE)
    assert '"x -c 1 2 "' in found.saves["ip"]
    assert not ruleset.unread


def test_what_failed_is_told_and_stays_unread() -> None:
    failed = replace(part("INPUT"), listing=Reading(name=NFT_PART, argv=(), status=1, stderr="No such file or directory\n"))
    ruleset, found = read_parts(read(failed), OUTLINE)
    assert (*TABLE, "INPUT") in found.unread
    assert any("No such file" in problem for problem in ruleset.problems)
    for text in ("{", "[]", '{"nftables": [1]}', '{"nftables": [{}]}'):
        odd = replace(failed, listing=replace(failed.listing, status=0, stdout=text))
        assert (*TABLE, "INPUT") in assemble(read(odd), OUTLINE).unread


def test_a_table_that_iptables_cannot_show_is_told_and_a_save_that_failed_too() -> None:
    native = saved(part("INPUT", [PORT]), "", 1, "iptables: chain `INPUT' in table `filter' is incompatible, use 'nft' tool.")
    assert "Table ip filter has rules that iptables cannot show." in read_firewall(read(native)).problems
    broken = saved(part("INPUT", [PORT]), "", 4, "no permission")
    assert any("no permission" in each for each in read_firewall(read(broken)).problems)


def test_of_a_table_that_iptables_cannot_show_nothing_is_filled_in() -> None:
    shown = saved(part("FORWARD", [PORT]), "-P FORWARD ACCEPT -c 0 0\n-A FORWARD -p tcp\n")
    native = saved(part("INPUT", [PORT]), "", 1, "iptables: chain `INPUT' in table `filter' is incompatible, use 'nft' tool.")
    assert assemble(read(shown), OUTLINE).saves.keys() == {"ip"}
    assert assemble(read(shown, native), OUTLINE).saves == {}


def test_a_network_of_sources_wants_what_any_of_them_comes_to() -> None:
    far = {"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "saddr"}}, "right": "10.244.4.200"}}
    firewall = read_firewall(read(part("INPUT", [far, JUMP])))
    assert not find_unread(firewall, [Asked(packet())]).chains
    network = ip_network("10.244.4.0/24")
    assert find_unread(firewall, [Asked(packet(), sources=network)]).chains == {(*TABLE, "A")}


def test_hooks_policies_and_flags_are_those_of_the_kernel() -> None:
    chains = (
        replace(INPUT, policy=0, priority=-10),
        OutlineChain(family="netdev", table="n", name="in", hook=0, kind="filter"),
        replace(INPUT, name="odd", hook=9),
    )
    tables = (OutlineTable(family="ip", name="filter", handle=2, flags=1), OutlineTable(family="netdev", name="n", flags=8))
    found = assemble(
        read(outline=replace(OUTLINE, chains=chains, tables=tables)), replace(OUTLINE, chains=chains, tables=tables)
    )
    bodies = {body["name"]: body for item in found.items for kind, body in item.items() if kind == "chain"}
    assert (bodies["INPUT"]["hook"], bodies["INPUT"]["policy"], bodies["INPUT"]["prio"]) == ("input", "drop", -10)
    assert (bodies["in"]["hook"], bodies["odd"]["hook"]) == ("ingress", 9)
    flags = [body.get("flags") for item in found.items for kind, body in item.items() if kind == "table"]
    assert flags == [["0x8"], ["dormant"]]


def test_everything_is_wanted_where_no_rule_tells_whether_conntrack_is_at_work() -> None:
    nat = OutlineChain(family="ip", table="nat", name="PREROUTING", hook=0, kind="nat")
    outline = replace(OUTLINE, chains=(nat,), tables=(OutlineTable(family="ip", name="nat"),))
    body = {"family": "ip", "table": "nat", "name": "PREROUTING", "type": "nat", "hook": "prerouting", "prio": -100}
    empty = part("PREROUTING", table="nat", body=body)
    assert not find_unread(read_firewall(read(outline=outline)), [Asked(packet())]).everything
    assert find_unread(read_firewall(read(empty, outline=outline)), [Asked(packet())]).everything


def test_tables_that_see_frames_are_wanted_whole() -> None:
    low = OutlineChain(family="bridge", table="b", name="early", hook=0, kind="filter")
    user = OutlineChain(family="bridge", table="b", name="user")
    outline = replace(OUTLINE, chains=(low, user), tables=(OutlineTable(family="bridge", name="b"),))
    wanted = find_unread(read_firewall(read(outline=outline)), [Asked(packet())])
    assert wanted.chains == {("bridge", "b", "early"), ("bridge", "b", "user")}


def test_a_firewall_read_in_part_survives_the_codec_and_has_a_digest_of_its_own() -> None:
    one, other = read(part("INPUT", [PORT, JUMP])), read(part("INPUT", [OTHER, JUMP]))
    assert from_plain(Firewall, json.loads(json.dumps(to_plain(one)))) == one
    assert one.digest() != other.digest() != read().digest()


OUTPUT = OutlineChain(family="ip", table="filter", name="OUTPUT", handle=3, hook=3, kind="filter")
BOTH = replace(OUTLINE, chains=(INPUT, OUTPUT))
SPORT = {"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "sport"}}, "right": 80}}
KEY = {"payload": {"protocol": "tcp", "field": "dport"}}


def answering(*way_in: object, more: tuple[PartReading, ...] = ()) -> set[str]:
    """The chains that are wanted of a firewall where an answer from port 80 would come to A."""
    body = {"family": "ip", "table": "filter", "name": "OUTPUT", "handle": 3, "type": "filter", "hook": "output", "prio": 0}
    out = part("OUTPUT", [SPORT, JUMP], body=body | {"policy": "accept"})
    firewall = read(part("INPUT", *([each] for each in way_in)), out, *more, outline=BOTH)
    return {name for *_, name in find_unread(read_firewall(firewall), [Asked(packet())]).chains}


def test_an_answer_has_the_packets_own_ports_unless_nat_may_have_changed_them() -> None:
    assert "A" not in answering({"accept": None})
    assert "A" in answering({"redirect": {"port": 80}})
    other = {"match": {"op": "==", "left": KEY, "right": 81}}
    firewall = read(part("INPUT", [other, {"redirect": {"port": 80}}]), outline=BOTH)
    assert "A" not in {name for *_, name in find_unread(read_firewall(firewall), [Asked(packet())]).chains}


@pytest.mark.parametrize(("end", "wanted"), [({"accept": None}, False), ({"queue": {"num": 1}}, True)])
def test_a_map_leads_where_it_says_and_who_takes_a_packet_out_may_change_it(end: object, wanted: bool) -> None:
    body = {"family": "ip", "table": "filter", "name": "ends", "elem": [[10250, end], [22, {"drop": None}]]}
    found = answering({"vmap": {"key": KEY, "data": "@ends"}}, more=(part("ends", kind="map", body=body),))
    assert ("A" in found) is wanted
