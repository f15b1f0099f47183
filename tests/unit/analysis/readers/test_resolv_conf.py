import pytest

from agent.analysis.readers.resolv_conf import addresses_in_hosts, parse_resolv_conf

POD = "search ns.svc.cluster.local svc.cluster.local cluster.local\nnameserver 10.96.0.10\noptions ndots:5\n"


def test_a_pods_file_as_a_kubelet_writes_it():
    found = parse_resolv_conf(POD)
    assert found.servers == ("10.96.0.10",)
    assert found.ndots == 5
    assert found.full_names("n1") == ("n1.ns.svc.cluster.local.", "n1.svc.cluster.local.", "n1.cluster.local.", "n1.")


@pytest.mark.parametrize(
    ("text", "name", "names"),
    [
        (POD, "n1.example.com.", ("n1.example.com.",)),
        ("search a.\n", "n1.b", ("n1.b.", "n1.b.a.")),
        ("search a.\n", "n1", ("n1.a.", "n1.")),
        ("domain a b\n", "n1", ("n1.a.", "n1.")),
        ("search a\nsearch b\n", "n1", ("n1.b.", "n1.")),
        ("search .\n", "n1", ("n1.",)),
        ("", "n1", ("n1.",)),
    ],
)
def test_the_names_that_are_asked_for(text, name, names):
    assert parse_resolv_conf(text).full_names(name) == names


@pytest.mark.parametrize(
    ("text", "servers"),
    [
        ("nameserver 1.1.1.1\nnameserver fd00::a\n", ("1.1.1.1", "fd00::a")),
        ("nameserver 1.1.1.1 # ours\n; nameserver 2.2.2.2\nnameserver x\nnameserver\n", ("1.1.1.1",)),
        ("".join(f"nameserver 10.0.0.{n}\n" for n in range(9)), ("10.0.0.0", "10.0.0.1", "10.0.0.2")),
        ("", ("127.0.0.1", "::1")),
    ],
)
def test_the_servers_that_are_asked(text, servers):
    assert parse_resolv_conf(text).servers == servers


@pytest.mark.parametrize(("options", "ndots"), [("ndots:99", 15), ("ndots:x", 1), ("ndots:2 rotate ndots:3", 3), ("", 1)])
def test_ndots_is_believed_up_to_a_limit(options, ndots):
    assert parse_resolv_conf(f"options {options}\n").ndots == ndots


def test_the_hosts_file():
    text = "127.0.0.1 localhost\n192.0.2.10 N1 n1.example.com # ours\n# 192.0.2.9 n1\nx n1\nfd00::1 n1.\n192.0.2.10 n1\n"
    assert addresses_in_hosts(text, "n1") == ("192.0.2.10", "fd00::1")
    assert addresses_in_hosts(text, "N1.EXAMPLE.COM.") == ("192.0.2.10",)
    assert addresses_in_hosts(text, "n2") == ()
