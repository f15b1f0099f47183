from collections.abc import Iterator

import pytest

from agent.host import command, firewall, preflight, privilege
from agent.host.workers import WorkerError, Workers
from agent.model.capture import LegacyChain
from agent.model.preflight import Check


@pytest.fixture
def workers(monkeypatch: pytest.MonkeyPatch) -> Iterator[Workers]:
    """Workers on a node with a legacy filter table; no worker is started."""
    monkeypatch.setattr(firewall, "legacy_tables", lambda family, problems: ("filter",))
    monkeypatch.setattr(Workers, "ask", lambda *_: LegacyChain())
    made = Workers()
    yield made
    made.close()


def named(workers: Workers) -> dict[str, Check]:
    return {check.name: check for check in preflight.check(workers)}


def test_a_machine_with_everything(workers: Workers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(privilege, "capabilities", lambda: (1 << 41) - 1)
    monkeypatch.setattr(privilege, "front_user", lambda: (privilege.NOBODY, ""))
    monkeypatch.setattr(command, "find", lambda name: f"/usr/sbin/{name}")
    checks = named(workers)
    assert all(check.ok for name, check in checks.items() if name != "xtables lock")
    assert checks["nft"].detail == "/usr/sbin/nft"
    assert checks["python-iptables"].detail == "loads in its worker"


def test_each_thing_that_is_missing_says_what_is_lost_and_what_to_do(workers: Workers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(privilege, "capabilities", lambda: 1 << privilege.NET_RAW)
    monkeypatch.setattr(privilege, "front_user", lambda: (0, "user 65532 may not read /root"))
    monkeypatch.setattr(command, "find", lambda name: None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    checks = named(workers)
    missing = {name for name, check in checks.items() if not check.ok}
    expected = {"capability NET_ADMIN", "capability SYS_ADMIN", "capability SYS_PTRACE", "nft", "iptables-legacy-save"}
    assert missing >= expected | {"psutil", "python-iptables", "front user"}
    assert "capability NET_RAW" not in missing
    assert all(checks[name].detail and checks[name].remedy for name in missing)


def test_a_multi_call_binary_is_as_good(workers: Workers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "find", lambda name: f"/sbin/{name}" if name == "xtables-nft-multi" else None)
    checks = named(workers)
    assert (checks["iptables-nft-save"].ok, checks["iptables-legacy-save"].ok) == (True, False)


@pytest.mark.parametrize("failure", [WorkerError("the worker crashed"), LegacyChain(problem="cannot be loaded")])
def test_python_iptables_that_does_not_load(
    workers: Workers, monkeypatch: pytest.MonkeyPatch, failure: WorkerError | LegacyChain
) -> None:
    def ask(*_: object) -> LegacyChain:
        if isinstance(failure, WorkerError):
            raise failure
        return failure

    monkeypatch.setattr(Workers, "ask", ask)
    check = named(workers)["python-iptables"]
    assert not check.ok
    assert check.detail in ("the worker crashed", "cannot be loaded")


def test_python_iptables_is_not_loaded_where_no_legacy_table_exists(workers: Workers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(firewall, "legacy_tables", lambda family, problems: ())
    monkeypatch.setattr(Workers, "ask", lambda *_: pytest.fail("it was loaded"))
    check = named(workers)["python-iptables"]
    assert check.ok
    assert "not loaded" in check.detail
