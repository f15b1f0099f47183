"""agent.analysis.readers.trace_text: lines as nft 1.0.6 and Linux 6.18 print them."""

import pytest

from agent.analysis.readers.trace_text import Drop, Step, read_drop, read_steps

RULES = """\
trace id acdd78b5 inet kubereach-trace prerouting packet: iif "cni0" ip saddr 10.244.4.7 ip daddr 10.244.4.1 tcp dport 10250
trace id acdd78b5 inet kubereach-trace prerouting unknown rule handle 3 (verdict continue)
trace id acdd78b5 inet kubereach-trace prerouting policy accept
trace id 349ba3d9 ip filter INPUT packet: iif "cni0" ip saddr 10.244.4.7 tcp flags == syn tcp window 64240
trace id 349ba3d9 ip filter INPUT rule ip saddr 10.0.0.0/8 counter packets 0 bytes 0 jump KUBE # handle 4 (verdict jump KUBE)
trace id 349ba3d9 ip filter KUBE verdict return
trace id 349ba3d9 ip filter INPUT unknown rule handle 7 (verdict continue)
trace id 349ba3d9 ip filter INPUT rule tcp dport 10250 counter packets 0 bytes 0 drop # handle 2 (verdict drop)
"""
SYN = "python3-7851    [000] b.... 22625.759797: net_dev_start_xmit: dev=eth0 queue_mapping=0 skbaddr=00000000ef225f21 len=74"
STATE = (
    "         python3-7851    [000] ..... 22625.759700: inet_sock_set_state: family=AF_INET protocol=IPPROTO_TCP sport=53011 "
    "dport=10250 saddr=10.244.4.7 daddr=10.244.4.1 saddrv6=::ffff:10.244.4.7 daddrv6=::ffff:10.244.4.1 oldstate=TCP_CLOSE "
    "newstate=TCP_SYN_SENT"
)


def freed(packet, task=7851, reason=" reason: NETFILTER_DROP"):
    place = "location=nft_do_chain+0x3e8/0x610"
    return f"   x-y-{task}  [001] ..s1. 22625.8: kfree_skb: skbaddr={packet} protocol=2048 {place}{reason}"


def drop(*lines):
    return read_drop("\n".join(lines), "10.244.4.1", 10250, 53011)


def test_each_rule_in_order_without_the_traces_own():
    assert read_steps(RULES) == (
        Step(
            family="ip",
            table="filter",
            chain="INPUT",
            verdict="jump",
            handle=4,
            text="ip saddr 10.0.0.0/8 counter packets 0 bytes 0 jump KUBE",
        ),
        Step(family="ip", table="filter", chain="KUBE", verdict="return"),
        Step(family="ip", table="filter", chain="INPUT", verdict="continue", handle=7),
        Step(
            family="ip",
            table="filter",
            chain="INPUT",
            verdict="drop",
            handle=2,
            text="tcp dport 10250 counter packets 0 bytes 0 drop",
        ),
    )


def test_a_policy_is_a_step_as_well():
    (step,) = read_steps("trace id 1 inet host-fw input policy drop meta mark 0x1")
    assert (step.policy, step.verdict, step.chain) == (True, "drop", "input")


def test_a_comment_that_looks_like_a_handle_is_none():
    (step,) = read_steps('trace id 1 ip f c rule comment "# handle 99" drop # handle 5 (verdict drop)')
    assert step.handle == 5


@pytest.mark.parametrize("text", ["", "nonsense", "trace id", "trace id 1 ip\x00 a b rule", "trace id 1 ip a b packet: x"])
def test_what_is_no_step_is_none(text):
    assert read_steps(text) == ()


def test_the_first_packet_of_our_socket_is_followed_to_its_end():
    found = drop(STATE, SYN, freed("00000000ef225f21", task=99))
    assert found == Drop(location="nft_do_chain+0x3e8/0x610", reason="NETFILTER_DROP")


def test_a_packet_that_is_dropped_before_it_leaves_the_pod_is_the_tasks_own():
    assert drop(STATE, freed("00000000abcdef00")) is not None
    assert drop(STATE, freed("00000000abcdef00", task=99)) is None


def test_another_packet_is_not_ours():
    assert drop(STATE, SYN, freed("00000000abcdef00")) is None
    assert drop(SYN, freed("00000000ef225f21")) is None, "before our socket connected"
    assert (
        drop(
            STATE.replace("daddr=10.244.4.1 ", "daddr=10.9.9.9 ").replace("ffff:10.244.4.1", "ffff:10.9.9.9"),
            SYN,
            freed("00000000ef225f21"),
        )
        is None
    )


def test_an_address_that_another_packet_has_by_now_says_nothing():
    other = SYN.replace("len=74", "len=66")
    assert drop(STATE, SYN, other, freed("00000000ef225f21")) is None


def test_a_kernel_without_reasons_still_tells_where():
    assert drop(STATE, SYN, freed("00000000ef225f21", reason="")) == Drop(location="nft_do_chain+0x3e8/0x610", reason="")


def test_ipv6_is_known_by_its_shortened_address():
    state = STATE.replace("daddrv6=::ffff:10.244.4.1", "daddrv6=fd00::1").replace(" daddr=10.244.4.1", " daddr=0.0.0.0")
    text = "\n".join((state, SYN, freed("00000000ef225f21")))
    assert read_drop(text, "fd00:0::1", 10250, 53011) is not None


def test_a_packet_that_goes_on_by_another_device_is_the_same_packet():
    onward = SYN.replace("dev=eth0", "dev=cni0").replace("python3-7851 ", "ksoftirqd-9 ")
    other = SYN.replace("00000000ef225f21", "00000000abcdef00").replace("len=74", "len=1500")
    assert drop(STATE, SYN, other, onward, freed("00000000ef225f21")) is not None


@pytest.mark.parametrize(
    "line",
    ["# tracer: nop", "CPU:0 [LOST 3 EVENTS]", STATE.partition(" saddr=")[0], STATE.replace("10.244.4.1", "10.244.4.")],
    ids=["a comment", "events were lost", "an event without addresses", "an event with half an address"],
)
def test_what_is_no_event_of_ours_is_passed_over(line):
    assert drop(line, SYN, freed("00000000ef225f21")) is None
    assert drop(line, STATE, SYN, line, freed("00000000ef225f21")) is not None
