"""Lines of INPUT that several incidents share."""

from agent.lab.incidents.incident import Decider
from agent.lab.rules import POD_CIDR

# What iptables-services ships on RHEL and CentOS, with the line an administrator adds for the nodes of the cluster.
STATEFUL = (
    "-m state --state RELATED,ESTABLISHED -j ACCEPT",
    "-p icmp -j ACCEPT",
    "-i lo -j ACCEPT",
    "-p tcp -m state --state NEW -m tcp --dport 22 -j ACCEPT",
)
NODES = "-s 172.31.16.0/20 -j ACCEPT"
NODES_KUBELET = "-s 172.31.16.0/20 -p tcp -m tcp --dport 10250 -j ACCEPT"
PODS_KUBELET = f"-s {POD_CIDR} -p tcp -m tcp --dport 10250 -j ACCEPT"
# The pod that is probed: the lowest address.
ONE_POD_KUBELET = "-s 10.244.4.7/32 -p tcp -m tcp --dport 10250 -j ACCEPT"
PROHIBITED = "-j REJECT --reject-with icmp-host-prohibited"
LAST = Decider(rule_number=6)
