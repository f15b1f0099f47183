"""The broker's guards: what they let through, and each thing that they refuse."""

from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest

from agent.host.errors import FixRefused
from agent.host.fixing.filter_table import parse
from agent.host.fixing.guards import Facts, check_count, check_flow, check_lease, check_place, check_shape, intent_of
from agent.model.plan import Flow, Order, Place

FLOW = Flow(source="10.244.4.0/24", destination="172.31.16.124", port=10250)
REJECT = "-A INPUT -j REJECT --reject-with icmp-host-prohibited"
PLACE = Place(backend="nft", chain="INPUT", before=REJECT)
ORDER = Order(id="0123456789ab", flow=FLOW, place=PLACE, digest="d", lease=60)
FACTS = Facts(
    addresses=frozenset(map(ip_address, ("172.31.16.124", "10.244.4.1", "127.0.0.1", "fd00::1"))),
    uplink=frozenset(map(ip_address, ("172.31.16.124", "fd00::1"))),
    pod_networks=frozenset(map(ip_network, ("10.244.4.0/24", "fd00:1::/64"))),
    ports=frozenset((10250,)),
)


def table(*rules, policy="ACCEPT", chains=()):
    declared = "".join(f":{name} - [0:0]\n" for name in chains)
    return parse(f"*filter\n:INPUT {policy} [0:0]\n{declared}" + "".join(f"{rule}\n" for rule in rules) + "COMMIT\n")


@pytest.mark.parametrize("source", ["10.244.4.0/24", "10.244.4.7/32", "10.244.4.128/25"])
def test_a_part_of_the_pod_network_may_be_let_in(source):
    check_flow(replace(FLOW, source=source), FACTS)


def test_so_it_is_for_ipv6():
    check_flow(Flow(source="fd00:1::/64", destination="fd00::1", port=10250), FACTS)


@pytest.mark.parametrize(
    "flow",
    [
        replace(FLOW, source="0.0.0.0/0"),
        replace(FLOW, source="10.0.0.0/8"),
        replace(FLOW, source="10.244.0.0/16"),
        replace(FLOW, source="10.244.4.1/24"),
        replace(FLOW, source="10.244.4.0/24 -j ACCEPT"),
        replace(FLOW, source="010.244.4.0/24"),
        replace(FLOW, source="::ffff:10.244.4.0/120"),
        replace(FLOW, source="172.31.16.0/24"),
        replace(FLOW, source="fd00:1::/64"),
        replace(FLOW, source="127.0.0.0/24"),
        replace(FLOW, source=""),
        replace(FLOW, destination="172.31.16.125"),
        replace(FLOW, destination="10.244.4.1"),
        replace(FLOW, destination="127.0.0.1"),
        replace(FLOW, destination="172.31.16.124/20"),
        replace(FLOW, destination="0.0.0.0"),
        replace(FLOW, port=22),
        replace(FLOW, port=0),
        replace(FLOW, port=65536),
    ],
    ids=str,
)
def test_no_other_flow_is_let_in(flow):
    with pytest.raises(FixRefused) as refusal:
        check_flow(flow, FACTS)
    assert refusal.value.kind == "guard"


def test_a_pod_network_that_holds_the_nodes_address_is_none():
    facts = replace(FACTS, pod_networks=frozenset((ip_network("172.31.16.0/20"),)))
    with pytest.raises(FixRefused, match="own address"):
        check_flow(replace(FLOW, source="172.31.16.0/20"), facts)


@pytest.mark.parametrize(
    "order",
    [
        replace(ORDER, id="0123456789AB"),
        replace(ORDER, id="x; id"),
        replace(ORDER, lease=61),
        replace(ORDER, lease=0),
        replace(ORDER, lease=-1),
        replace(ORDER, caller="a\nb"),
        replace(ORDER, place=replace(PLACE, backend="iptables")),
        replace(ORDER, place=replace(PLACE, chain="INPUT 1 -j ACCEPT")),
        replace(ORDER, place=replace(PLACE, chain="INPUT\nCOMMIT")),
        replace(ORDER, place=replace(PLACE, nth=0)),
    ],
    ids=str,
)
def test_an_order_that_is_not_written_as_it_must_be_is_refused(order):
    with pytest.raises(FixRefused):
        check_shape(order, 60)


def test_an_order_in_shape_passes():
    check_shape(ORDER, 60)


@pytest.mark.parametrize("seconds", [0, -1, 86401, 10**12])
def test_a_lease_is_never_clamped(seconds):
    with pytest.raises(FixRefused):
        check_lease(seconds)


def test_the_position_is_found_by_content():
    assert check_place(table("-A INPUT -i lo -j ACCEPT", "-A INPUT -p icmp -j ACCEPT", REJECT), PLACE, FLOW) == 3
    assert check_place(table(REJECT), PLACE, FLOW) == 1


def test_a_policy_that_drops_has_its_place_at_the_end():
    assert check_place(table("-A INPUT -i lo -j ACCEPT", policy="DROP"), replace(PLACE, before=""), FLOW) == 2
    with pytest.raises(FixRefused, match="policy"):
        check_place(table("-A INPUT -i lo -j ACCEPT"), replace(PLACE, before=""), FLOW)


def test_a_chain_that_input_leads_to_may_be_written_to_and_no_other():
    rules = ("-A INPUT -j MINE", "-A MINE -j DROP", "-A OTHER -j DROP")
    found = table(*rules, chains=("MINE", "OTHER"))
    assert check_place(found, Place(backend="nft", chain="MINE", before="-A MINE -j DROP"), FLOW) == 1
    with pytest.raises(FixRefused, match="does not come"):
        check_place(found, Place(backend="nft", chain="OTHER", before="-A OTHER -j DROP"), FLOW)


@pytest.mark.parametrize(
    "chain", ["cali-INPUT", "KUBE-FIREWALL", "ufw-user-input", "CILIUM_INPUT", "WEAVE-NPC-EGRESS", "IN_public"]
)
def test_chains_of_programs_are_theirs(chain):
    found = table(f"-A INPUT -j {chain}", f"-A {chain} -j DROP", chains=(chain,))
    with pytest.raises(FixRefused, match=r"program|manages"):
        check_place(found, Place(backend="nft", chain=chain, before=f"-A {chain} -j DROP"), FLOW)


@pytest.mark.parametrize(("chain", "manager"), [("ufw-before-input", "ufw"), ("INPUT_ZONES", "firewalld")])
def test_the_end_of_input_belongs_to_who_manages_input(chain, manager):
    with pytest.raises(FixRefused, match=manager):
        check_place(table(f"-A INPUT -j {chain}", REJECT, chains=(chain,)), PLACE, FLOW)


def test_only_what_blocks_is_stood_before():
    accept = "-A INPUT -j ACCEPT"
    with pytest.raises(FixRefused, match="does not block"):
        check_place(table(accept), replace(PLACE, before=accept), FLOW)


def test_a_rule_that_is_gone_is_a_change():
    with pytest.raises(FixRefused) as refusal:
        check_place(table("-A INPUT -j DROP"), PLACE, FLOW)
    assert refusal.value.kind == "changed"


@pytest.mark.parametrize(
    "rule",
    [
        "-A INPUT -p tcp -m tcp --dport 10250 -j DROP",
        "-A INPUT -p tcp -m multiport --dports 22,10250 -j DROP",
        "-A INPUT -p tcp -m tcp --dport 10250:10255 -j DROP",
        "-A INPUT -s 10.244.0.0/16 -j DROP",
        "-A INPUT -s 10.244.4.7/32 -j DROP",
        "-A INPUT -m set --match-set blocked src -j DROP",
        "-A INPUT -m iprange --src-range 10.0.0.1-10.255.255.255 -j DROP",
        "-A INPUT -i cni0 -j DROP",
    ],
)
def test_a_rule_that_names_this_traffic_is_meant(rule):
    assert intent_of(rule, FLOW)
    jump = rule.replace("-j DROP", "-j GUARD")
    found = table(jump, "-A GUARD -j DROP", chains=("GUARD",))
    with pytest.raises(FixRefused, match="looks meant"):
        check_place(found, Place(backend="nft", chain="GUARD", before="-A GUARD -j DROP"), FLOW)


@pytest.mark.parametrize(
    "rule",
    [
        "-A INPUT -j DROP",
        REJECT,
        "-A INPUT -p tcp -j DROP",
        "-A INPUT ! -i lo -j DROP",
        "-A INPUT ! -s 172.31.16.0/20 -j DROP",
        "-A INPUT -p tcp -m tcp --dport 1:65535 -j DROP",
        "-A INPUT -s 0.0.0.0/0 -j DROP",
    ],
)
def test_a_rule_for_everything_means_nobody(rule):
    assert intent_of(rule, FLOW) == ""


def test_no_fifth_is_alive():
    check_count(3, 4)
    with pytest.raises(FixRefused):
        check_count(4, 4)
