"""Incidents of rules that are written down and do not run: lost at boot, wiped by a reload, or never loaded."""

from agent.lab.firewalld import FIREWALLD
from agent.lab.incidents import texts
from agent.lab.incidents.incident import Decider, Expectation, Incident
from agent.lab.incidents.lines import LAST, NODES, PODS_KUBELET, PROHIBITED, STATEFUL
from agent.lab.rules import MASQUERADE, POD_CIDR, Rules, filter_table, on_either
from agent.model.explanation import Verdict
from agent.model.ruleset import Backend

_SITE = "-s 192.0.2.0/24 -p tcp -m tcp --dport 9100 -j ACCEPT"
_COMMENTED = f'-s {POD_CIDR} -p tcp -m tcp --dport 10250 -m comment --comment "pods to the kubelet" -j ACCEPT'
_ZONE = f"""<?xml version="1.0" encoding="utf-8"?>
<zone target="ACCEPT">
  <short>Trusted</short>
  <source address="172.31.16.0/20"/>
  <source address="{POD_CIDR}"/>
</zone>
"""
_UFW_FILE = f"""*filter
:ufw-user-input - [0:0]
### RULES ###
### tuple ### allow tcp 10250 0.0.0.0/0 any {POD_CIDR} in
-A ufw-user-input -p tcp --dport 10250 -s {POD_CIDR} -j ACCEPT
### END RULES ###
COMMIT
"""
_NATIVE = """table inet host-fw {
    chain input {
        type filter hook input priority 0; policy accept;
        iif lo accept
        ct state established,related accept
        ip saddr 172.31.16.0/20 accept
        counter reject with icmp type admin-prohibited
    }
}
"""
_NATIVE_FILE = _NATIVE.replace("        counter", f"        ip saddr {POD_CIDR} tcp dport 10250 accept\n        counter")

INCIDENTS: tuple[Incident, ...] = (
    Incident(
        name="rules-not-loaded",
        story="The right rules are in rules.v4, and after the last boot nobody loaded them: the image's own INPUT runs.",
        rules=on_either((*STATEFUL, NODES, PROHIBITED)),
        etc=(("iptables/rules.v4", filter_table(*STATEFUL, NODES, _SITE, _COMMENTED, PROHIBITED)),),
        expect=Expectation(code="saved-rule-not-loaded", decider=LAST, errno="EHOSTUNREACH", icmp="3/10"),
    ),
    Incident(
        name="rule-wiped",
        story="Everything of the saved file runs but its accept for pods: somebody flushed and added again by hand.",
        rules=on_either((*STATEFUL, _SITE, NODES, PROHIBITED)),
        etc=(("sysconfig/iptables", filter_table(*STATEFUL, _SITE, NODES, PODS_KUBELET, PROHIBITED)),),
        expect=Expectation(code="saved-rule-not-loaded", decider=Decider(rule_number=7), errno="EHOSTUNREACH", icmp="3/10"),
    ),
    Incident(
        name="firewalld-not-reloaded",
        story="The pod network was put into firewalld's trusted zone with --permanent, and firewalld was not reloaded.",
        rules={Backend.NFT: Rules(nft=MASQUERADE, native=FIREWALLD)},
        etc=(("firewalld/zones/trusted.xml", _ZONE),),
        expect=Expectation(
            code="saved-rule-not-loaded",
            decider=Decider(table="firewalld", chain="filter_INPUT", rule_number=6),
            errno="EHOSTUNREACH",
            icmp="3/13",
        ),
    ),
    Incident(
        name="ufw-not-reloaded",
        story="ufw's user.rules allow pods on the kubelet's port, and the chains that run are older.",
        rules=on_either(texts.UFW_INPUT, policy="DROP", chains=texts.ufw(*texts.UFW_NODES)),
        etc=(("ufw/user.rules", _UFW_FILE),),
        expect=Expectation(code="saved-rule-not-loaded", verdict=Verdict.DROP, decider=Decider(), errno="ETIMEDOUT"),
    ),
    Incident(
        name="nftables-conf-not-loaded",
        story="nftables.conf accepts pods on the kubelet's port, and the running table was loaded before that was written.",
        rules={Backend.NFT: Rules(nft=MASQUERADE, native=_NATIVE)},
        etc=(("nftables.conf", f"#!/usr/sbin/nft -f\nflush ruleset\n{_NATIVE_FILE}"),),
        expect=Expectation(
            code="saved-rule-not-loaded",
            decider=Decider(table="host-fw", chain="input", rule_number=4),
            errno="EHOSTUNREACH",
            icmp="3/13",
        ),
    ),
    Incident(
        name="saved-file-no-help",
        story="A saved file exists and ends in the same REJECT as the running chain: it is not the cause.",
        rules=on_either((*STATEFUL, NODES, PROHIBITED)),
        etc=(("iptables/rules.v4", filter_table(*STATEFUL, NODES, PROHIBITED, PODS_KUBELET)),),
        expect=Expectation(code="input-reject", decider=LAST, errno="EHOSTUNREACH", icmp="3/10"),
    ),
)
