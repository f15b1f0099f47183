import pytest

from agent.analysis.path.replies import errno_of, icmp_of, resolve


@pytest.mark.parametrize(
    ("reply", "version", "icmp", "errno"),
    [
        ("icmp-net-unreachable", 4, (3, 0), "ENETUNREACH"),
        ("icmp-host-unreachable", 4, (3, 1), "EHOSTUNREACH"),
        ("icmp-proto-unreachable", 4, (3, 2), "ENOPROTOOPT"),
        ("icmp-port-unreachable", 4, (3, 3), "ECONNREFUSED"),
        ("icmp-net-prohibited", 4, (3, 9), "ENETUNREACH"),
        ("icmp-host-prohibited", 4, (3, 10), "EHOSTUNREACH"),
        ("icmp-admin-prohibited", 4, (3, 13), "EHOSTUNREACH"),
        ("tcp-reset", 4, None, "ECONNREFUSED"),
        ("icmp6-no-route", 6, (1, 0), "ENETUNREACH"),
        ("icmp6-adm-prohibited", 6, (1, 1), "EACCES"),
        ("icmp6-addr-unreachable", 6, (1, 3), "EHOSTUNREACH"),
        ("icmp6-port-unreachable", 6, (1, 4), "ECONNREFUSED"),
        ("icmp6-policy-fail", 6, (1, 5), "EACCES"),
        ("icmp6-reject-route", 6, (1, 6), "EACCES"),
        ("icmpx-admin-prohibited", 4, (3, 13), "EHOSTUNREACH"),
        ("icmpx-admin-prohibited", 6, (1, 1), "EACCES"),
        ("something-new", 4, None, None),
    ],
)
def test_each_reply_has_its_icmp_error_and_errno(reply: str, version: int, icmp: tuple[int, int] | None, errno: str) -> None:
    assert icmp_of(reply, version) == icmp
    assert errno_of(reply, version) == errno


def test_only_words_for_either_version_are_translated() -> None:
    assert resolve("icmpx-no-route", 4) == "icmp-net-unreachable"
    assert resolve("icmpx-no-route", 6) == "icmp6-no-route"
    assert resolve("icmpx-host-unreachable", 6) == "icmp6-addr-unreachable"
    assert resolve("tcp-reset", 6) == "tcp-reset"
