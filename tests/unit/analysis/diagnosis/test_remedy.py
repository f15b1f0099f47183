"""agent.analysis.diagnosis.remedy: the narrowest opening, in the owner's own tool."""

import pytest

from agent.analysis.diagnosis.remedy import Opening, look_at_kubelet, open_before
from agent.model.explanation import RuleRef

OPENING = Opening("10.9.1.0/24", "192.0.2.10", 10250)
SPEC = "-s 10.9.1.0/24 -d 192.0.2.10 -p tcp --dport 10250 -m comment --comment kubereach -j ACCEPT"


def rule(**parts: object) -> RuleRef:
    base = {"backend": "legacy", "family": "ip", "hook": "input", "table": "filter", "chain": "INPUT", "rule_number": 6}
    return RuleRef(**(base | {"text": "-A INPUT -j REJECT"} | parts))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("place", "command"),
    [
        pytest.param(rule(), f"iptables-legacy -w -I INPUT 6 {SPEC}", id="before the rule, in its backend"),
        pytest.param(rule(backend="nft"), f"iptables-nft -w -I INPUT 6 {SPEC}", id="nft backend"),
        pytest.param(
            rule(policy=True, rule_number=None, text="-P INPUT DROP"),
            f"iptables-legacy -w -A INPUT {SPEC}",
            id="before a policy",
        ),
        pytest.param(rule(table="mangle"), f"iptables-legacy -w -t mangle -I INPUT 6 {SPEC}", id="another table"),
        pytest.param(rule(chain="MINE", rule_number=2), f"iptables-legacy -w -I MINE 2 {SPEC}", id="a chain of a person's own"),
    ],
)
def test_the_accept_goes_directly_before_what_blocks(place: RuleRef, command: str) -> None:
    remedy = open_before(place, OPENING)
    assert remedy.command == command
    assert remedy.undo.endswith(f"-D {place.chain} {SPEC}")
    assert list(remedy.persistent) == [
        "iptables-services (/etc/sysconfig/iptables)",
        "netfilter-persistent (/etc/iptables/rules.v4)",
    ]


def test_ipv6_has_its_own_program_and_files() -> None:
    remedy = open_before(rule(family="ip6"), Opening("fd00:1::/64", "fd00::1", 10250))
    assert remedy.command.startswith("ip6tables-legacy -w -I INPUT 6 -s fd00:1::/64 -d fd00::1")
    assert "/etc/sysconfig/ip6tables" in next(iter(remedy.persistent))


def test_a_native_table_is_mended_with_nft_before_the_rules_handle() -> None:
    native = rule(backend="nft", family="inet", table="host-fw", chain="input", handle=9, text="drop")
    assert open_before(native, OPENING).command == (
        "nft insert rule inet host-fw input handle 9 ip saddr 10.9.1.0/24 ip daddr 192.0.2.10 tcp dport 10250 counter accept "
        'comment "kubereach"'
    )
    policy = rule(
        backend="nft", family="inet", table="host-fw", chain="input", rule_number=None, policy=True, text="policy drop"
    )
    assert open_before(policy, Opening("fd00:1::/64", "fd00::1", 10250)).command.startswith(
        "nft add rule inet host-fw input ip6 saddr fd00:1::/64"
    )


@pytest.mark.parametrize(
    ("place", "owner", "tool"),
    [
        pytest.param(rule(chain="cali-fw-1"), "Calico", "calicoctl", id="policy engine"),
        pytest.param(rule(chain="KUBE-FIREWALL"), "kube-proxy or kubelet", "kube-proxy", id="kube-proxy"),
        pytest.param(rule(chain="cali-fh-any"), "Calico", "host endpoint", id="host endpoint"),
    ],
)
def test_an_owned_chain_is_left_to_its_owner(place: RuleRef, owner: str, tool: str) -> None:
    remedy = open_before(place, OPENING)
    assert (remedy.command, remedy.owner) == ("", owner)
    assert tool in remedy.note


@pytest.mark.parametrize(
    ("chain", "command", "lasting"),
    [
        ("cali-wl-to-host", "kubectl patch felixconfiguration", "Calico"),
        ("ts-input", "tailscale set --netfilter-mode=nodivert", "Tailscale"),
        ("f2b-sshd", "fail2ban-client set sshd addignoreip 10.9.1.0/24", "fail2ban (/etc/fail2ban/jail.local, [DEFAULT])"),
    ],
)
def test_an_owner_with_a_command_of_its_own_gets_that(chain: str, command: str, lasting: str) -> None:
    remedy = open_before(rule(chain=chain), OPENING)
    assert remedy.command.startswith(command)
    assert remedy.undo.split()[0] == command.split(maxsplit=1)[0]
    assert list(remedy.persistent) == [lasting]


def test_a_network_policy_names_the_node_by_an_ip_block() -> None:
    remedy = open_before(rule(chain="KUBE-POD-FW-ABC"), OPENING)
    assert "cidr: 192.0.2.10/32" in next(iter(remedy.persistent.values()))
    assert "port: 10250" in next(iter(remedy.persistent.values()))


def test_an_answer_is_let_out_to_the_same_node() -> None:
    answer = Opening("192.0.2.10", "10.9.1.0/24", 10250, answer=True)
    assert "cidr: 192.0.2.10/32" in next(iter(open_before(rule(chain="CILIUM_OUTPUT"), answer).persistent.values()))


def test_a_strangers_chain_name_cannot_run_anything_in_the_shell_it_is_pasted_into() -> None:
    evil = "a;$(reboot)"
    assert f"-I '{evil}' 6" in open_before(rule(chain=evil), OPENING).command
    assert "set 'a;$(reboot)' addignoreip" in open_before(rule(chain=f"f2b-{evil}"), OPENING).command
    native = rule(backend="nft", family="inet", table="t", chain=evil, handle=9, text="drop")
    assert f"inet t '{evil}' handle 9" in open_before(native, OPENING).command


def test_firewalld_and_ufw_get_their_own_commands() -> None:
    firewalld = open_before(rule(backend="nft", family="inet", table="firewalld", chain="filter_INPUT"), OPENING)
    assert firewalld.command == "firewall-cmd --zone=trusted --add-source=10.9.1.0/24"
    assert "--permanent" in firewalld.persistent["firewalld"]
    ufw = open_before(rule(chain="ufw-user-input"), OPENING)
    assert ufw.command == "ufw insert 1 allow from 10.9.1.0/24 to 192.0.2.10 port 10250 proto tcp"


def test_a_dead_kubelet_needs_no_rule() -> None:
    assert "iptables" not in look_at_kubelet().command
