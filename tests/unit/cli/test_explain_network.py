"""`explain --src CIDR`: a partition, and its exit code; `rules` with remarks."""

import json

import pytest

WORDS = ("--in", "cni0", "--dst", "172.31.16.124", "--dport", "10250")
HEAD = "*filter\n:INPUT ACCEPT [0:0]\n"
ALLOWED = "-A INPUT -s 10.244.4.138/32 -p tcp -m tcp --dport 10250 -j ACCEPT\n"
REJECT = "-A INPUT -j REJECT --reject-with icmp-host-prohibited\n"


@pytest.fixture
def ask(run, tmp_path):
    def asked(rules, *words):
        file = tmp_path / "rules"
        file.write_text(f"{HEAD}{rules}COMMIT\n")
        return run("explain", "--ruleset", file, *WORDS, *words)

    return asked


def test_a_partition_in_json(ask):
    result = ask(ALLOWED + REJECT, "--src", "10.244.4.0/24", "-o", "json")
    assert result.exit_code == 3
    body = json.loads(result.stdout)
    assert (body["verdict"], body["packet"]["src"]) == ("UNDECIDED", "10.244.4.0/24")
    assert [(part["src"], part["verdict"], part["decided_by"]["rule_number"]) for part in body["partition"]] == [
        ("10.244.4.0-10.244.4.137", "REJECT", 2),
        ("10.244.4.138/32", "ACCEPT", 1),
        ("10.244.4.139-10.244.4.255", "REJECT", 2),
    ]
    assert {"reject_with", "client_sees", "assumptions"} <= set(body["partition"][0])


def test_a_partition_as_text(ask):
    text = ask(ALLOWED + REJECT, "--src", "10.244.4.0/24").stdout
    assert text.startswith("UNDECIDED: it depends on the source\n")
    assert "10.244.4.138/32            1 address " in text
    assert "not decided" not in text


def test_a_network_that_fares_as_one_has_that_verdict(ask):
    result = ask(REJECT, "--src", "10.244.4.0/24")
    assert result.exit_code == 1
    assert result.stdout.startswith("REJECT with icmp-host-prohibited, the client sees EHOSTUNREACH\n")


def test_long_partitions_are_shown_in_part(ask):
    rules = "".join(f"-A INPUT -s 10.244.4.{number} -j DROP\n" for number in range(0, 256, 2))
    assert "and 206 more parts: -o wide has all of them" in ask(rules, "--src", "10.244.4.0/24").stdout
    assert "10.244.4.255/32" in ask(rules, "--src", "10.244.4.0/24", "-o", "wide").stdout


def test_what_a_part_hangs_on_is_said(ask):
    text = ask("-A INPUT -s 10.244.4.0/28 -m limit --limit 1/s -j DROP\n" + REJECT, "--src", "10.244.4.0/24").stdout
    assert "a rate limit is kernel state" in text


def test_a_network_with_bits_behind_its_prefix_is_refused(ask):
    result = ask(REJECT, "--src", "10.244.4.7/24")
    assert result.exit_code == 2


def test_rules_that_no_packet_comes_to_are_marked(run, tmp_path):
    file = tmp_path / "rules"
    file.write_text(f"{HEAD}:cali-INPUT - [0:0]\n:OLD - [0:0]\n-A INPUT -j cali-INPUT\n{REJECT}{ALLOWED}COMMIT\n")
    text = run("rules", "--ruleset", file).stdout
    assert "--dport 10250 -j ACCEPT  <- never reached: rule 2 takes every packet\n" in text
    assert "cali-INPUT (iptables-legacy); Calico, changed with calicoctl / NetworkPolicy\n" in text
    assert "no base chain leads to: OLD (1 chain of ip filter, legacy)\n" in text
    body = json.loads(run("rules", "--ruleset", file, "-o", "json").stdout)
    first = body["chains"][0]["rules"]
    assert [rule["shadowed_by"] for rule in first] == [None, None, 2]
    assert (first[0]["owner"], first[2]["remark"]) == ("Calico", "never reached: rule 2 takes every packet")
    assert body["chains"][1]["owner"]["tool"] == "calicoctl / NetworkPolicy"
    assert [chain["chain"] for chain in body["unused"]] == ["OLD"]
