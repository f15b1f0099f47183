"""agent.host.drop_events: what of a trace is kept."""

from agent.host.drop_events import select_ours

OURS = """\
          curl-5    [000] b.... 1.0: net_dev_start_xmit: dev=lo skbaddr=00a1 len=74
       python3-7    [000] ..... 2.0: inet_sock_set_state: family=AF_INET sport=53011 dport=10250 newstate=TCP_SYN_SENT
       python3-7    [000] b.... 2.1: net_dev_start_xmit: dev=eth0 skbaddr=00b2 len=74
          curl-5    [000] b.... 2.2: net_dev_start_xmit: dev=lo skbaddr=00a1 len=66
     ksoft/0-13     [001] ..s1. 2.3: kfree_skb: skbaddr=00b2 location=nft_do_chain reason: NETFILTER_DROP
     ksoft/0-13     [001] ..s1. 2.4: kfree_skb: skbaddr=00c3 location=udp reason: NO_SOCKET
"""


def test_only_our_task_and_its_packets_are_kept():
    assert [line.split(": ")[1] for line in select_ours(OURS, 53011).splitlines()] == [
        "inet_sock_set_state",
        "net_dev_start_xmit",
        "kfree_skb",
    ]
    assert "curl" not in select_ours(OURS, 53011)


def test_without_our_socket_nothing_is_kept():
    assert select_ours(OURS, 1) == ""
    assert select_ours("", 53011) == ""
