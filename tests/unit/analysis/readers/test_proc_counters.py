"""agent.analysis.readers.proc_counters: /proc/net's tables under nstat's names."""

from agent.analysis.readers.proc_counters import parse, risen

FILES = {
    "snmp": "Ip: Forwarding DefaultTTL\nIp: 1 64\nTcp: MaxConn InCsumErrors\nTcp: -1 3\n",
    "netstat": "TcpExt: ListenDrops\nTcpExt: 2\nIpExt: InOctets\nIpExt: 99\n",
    "stat/nf_conntrack": "entries  found drop\n0000000a 00000001 00000010\n0000000a 00000000 00000001\n",
}


def test_every_group_is_read_and_processors_are_added_up() -> None:
    assert parse(FILES) == {
        "IpForwarding": 1,
        "IpDefaultTTL": 64,
        "TcpMaxConn": -1,
        "TcpInCsumErrors": 3,
        "TcpExtListenDrops": 2,
        "IpExtInOctets": 99,
        "conntrack found": 1,
        "conntrack drop": 17,
    }


def test_what_is_cut_or_foreign_is_left_out() -> None:
    assert parse({"snmp": "Tcp: A B\nUdp: 1 2\nTcp: A\n", "netstat": "nonsense", "stat/nf_conntrack": "a b\nxx 1\n"}) == {
        "conntrack b": 1
    }
    assert parse({}) == {}


def test_only_what_rose_and_was_there_before_counts() -> None:
    assert risen({"a": 1, "b": 2, "c": 5}, {"a": 4, "b": 2, "c": 1, "d": 9}) == {"a": 3}
