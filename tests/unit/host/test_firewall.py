from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from agent.host import command, firewall, nftnetlink
from agent.model.capture import IPSET_SAVE, LEGACY_SAVE, LEGACY_SAVE6, NFT_JSON, NFT_SAVE, NFT_SAVE6, Problem
from agent.model.outline import Outline, OutlineTable, Part

Run = Callable[..., command.Completed]


def nft_json(*tables: tuple[str, str]) -> str:
    rows = ", ".join(f'{{"table": {{"family": "{family}", "name": "{name}", "handle": 1}}}}' for family, name in tables)
    return f'{{"nftables": [{rows}]}}'


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """A node with those legacy tables, that nft output, and those programs failing; returns the list of what is run."""

    def make(
        legacy: str | None = None, legacy6: str | None = None, nft: str = nft_json(), **fails: command.Completed
    ) -> list[str]:
        ran: list[str] = []

        def run(argv: tuple[str, ...], stdin: bytes = b"", timeout: float = 0) -> command.Completed:
            ran.append(argv[0])
            stdout = nft.encode() if argv[0] == "nft" else b"# saved \xff\n"
            return fails.get(argv[0].replace("-", "_")) or command.Completed(argv=argv, status=0, stdout=stdout)

        lists = {"ip": tmp_path / "ip_tables_names", "ip6": tmp_path / "ip6_tables_names"}
        for family, text in (("ip", legacy), ("ip6", legacy6)):
            if text is not None:
                lists[family].write_text(text)
        monkeypatch.setattr(firewall, "_LISTS", lists)
        monkeypatch.setattr(nftnetlink, "Reader", _denied)
        monkeypatch.setattr(command, "run", run)
        monkeypatch.setattr(command, "find", lambda name: f"/sbin/{name}")
        return ran

    return make


def _denied() -> nftnetlink.Reader:
    raise PermissionError


def names(found: firewall.Firewall) -> list[str]:
    return [reading.name for reading in found.readings]


def test_only_nft_is_asked_on_a_node_without_tables(node: Callable[..., list[str]]) -> None:
    ran = node(legacy="", legacy6=None)
    assert names(firewall.capture()) == [NFT_JSON]
    assert ran == ["nft"]


def test_legacy_is_read_where_the_kernel_lists_it(node: Callable[..., list[str]]) -> None:
    node(legacy="filter\nnat\n", legacy6="raw\n")
    found = firewall.capture()
    assert names(found) == [NFT_JSON, LEGACY_SAVE, LEGACY_SAVE6]
    assert (found.legacy_tables, found.legacy_tables6) == (("filter", "nat"), ("raw",))
    save = found.reading(LEGACY_SAVE)
    assert save is not None
    assert (save.argv, save.stdout) == (("iptables-legacy-save", "-c"), "# saved \udcff\n")


@pytest.mark.parametrize(
    ("tables", "expected"),
    [
        ([("ip", "filter")], [NFT_JSON, NFT_SAVE]),
        ([("ip6", "nat")], [NFT_JSON, NFT_SAVE6]),
        ([("ip", "raw"), ("ip6", "mangle")], [NFT_JSON, NFT_SAVE, NFT_SAVE6]),
        ([("inet", "filter"), ("ip", "kube-proxy"), ("bridge", "filter")], [NFT_JSON]),
    ],
)
def test_iptables_nft_is_read_where_nft_shows_its_tables(
    node: Callable[..., list[str]], tables: list[tuple[str, str]], expected: list[str]
) -> None:
    node(nft=nft_json(*tables))
    assert names(firewall.capture()) == expected


def test_a_missing_program_is_a_reading_and_a_problem_with_a_remedy(node: Callable[..., list[str]]) -> None:
    missing = command.Completed(argv=(), status=None, problem="iptables-legacy-save is not installed")
    node(legacy="filter\n", iptables_legacy_save=missing)
    found = firewall.capture()
    save = found.reading(LEGACY_SAVE)
    assert save is not None
    assert save.status is None
    assert found.legacy_tables == ("filter",)
    (problem,) = found.problems
    assert (problem.what, problem.remedy) == (LEGACY_SAVE, "apt-get install iptables")


def test_a_denied_reading_names_the_privilege(node: Callable[..., list[str]]) -> None:
    denied = command.Completed(argv=(), status=1, stderr=b"Operation not permitted (you must be root)\n")
    node(nft=nft_json(("ip", "filter")), iptables_nft_save=denied)
    (problem,) = firewall.capture().problems
    assert "NET_ADMIN" in problem.remedy
    assert "not permitted" in problem.why


def test_an_unreadable_list_is_a_problem_and_never_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(firewall, "_LISTS", {"ip": tmp_path})  # a directory: EISDIR, as good as EACCES and true for root too
    problems: list[Problem] = []
    assert firewall.legacy_tables("ip", problems) == ()
    assert "not known" in problems[0].why


def test_what_was_cut_off_is_not_shown(node: Callable[..., list[str]]) -> None:
    cut = command.Completed(argv=(), status=None, stdout=b"*filter\n:INPUT ACCEPT", problem="x did not end in time")
    node(legacy="filter\n", iptables_legacy_save=cut)
    found = firewall.capture()
    save = found.reading(LEGACY_SAVE)
    assert save is not None
    assert (save.stdout, save.status) == ("", None)
    assert "did not end in time" in found.problems[0].why


@pytest.fixture
def asks_for_sets(node: Callable[..., list[str]]) -> list[str]:
    """A node whose legacy rules ask for two sets."""
    rules = b"*filter\n-A INPUT -m set --match-set a src -j DROP\n-A INPUT -m set ! --match-set b dst -j DROP\nCOMMIT\n"
    return node(legacy="filter\n", iptables_legacy_save=command.Completed(argv=(), status=0, stdout=rules))


def test_sets_are_read_once_and_only_where_a_rule_asks(asks_for_sets: list[str]) -> None:
    found = firewall.capture()
    assert names(found) == [NFT_JSON, LEGACY_SAVE, IPSET_SAVE]
    assert asks_for_sets.count("ipset") == 1
    reading = found.reading(IPSET_SAVE)
    assert reading is not None
    assert reading.argv == ("ipset", "save")


def test_rules_that_ask_for_sets_without_ipset_are_a_problem(node: Callable[..., list[str]]) -> None:
    missing = command.Completed(argv=(), status=None, problem="ipset is not installed")
    rules = command.Completed(argv=(), status=0, stdout=b"-A INPUT -m set --match-set a src -j DROP\n")
    node(legacy="filter\n", iptables_legacy_save=rules, ipset=missing)
    (problem,) = firewall.capture().problems
    assert (problem.what, problem.why, problem.remedy) == (IPSET_SAVE, "ipset is not installed", "apt-get install ipset")


PART = Part(kind="chain", family="ip", table="filter", name="INPUT")


class Netlink:
    """The kernel at one generation after the other; the last one stays."""

    def __init__(self, *generations: int, rules: int = 0) -> None:
        self.generations, self.rules = list(generations), rules

    def __enter__(self) -> "Netlink":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def generation(self) -> int:
        return self.generations.pop(0) if len(self.generations) > 1 else self.generations[0]

    def outline(self) -> Outline:
        return Outline(generation=self.generation(), rules=self.rules)


@pytest.mark.parametrize(("rules", "in_part"), [(0, False), (firewall.WHOLE, False), (firewall.WHOLE + 1, True)])
def test_a_large_nftables_is_not_read_at_once(
    node: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch, rules: int, in_part: bool
) -> None:
    ran = node(legacy="filter\n")
    monkeypatch.setattr(nftnetlink, "Reader", lambda: Netlink(4, rules=rules))
    found = firewall.survey()
    assert (found.outline is not None, "nft" not in ran) == (in_part, in_part)
    assert found.reading(LEGACY_SAVE) is not None


def test_without_netlink_everything_is_read(node: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    node()
    monkeypatch.setattr(nftnetlink, "Reader", _denied)
    assert names(firewall.survey()) == [NFT_JSON]


@pytest.mark.parametrize("told", [(), ("ip",), ("ip6",), ("ip", "ip6"), ("inet",)])
@pytest.mark.parametrize("shown", [(), ("ip",), ("ip6",), ("ip", "ip6")])
def test_what_netlink_told_early_changes_no_reading(
    node: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch, told: tuple[str, ...], shown: tuple[str, ...]
) -> None:
    ran = node(legacy="filter\n", nft=nft_json(*((family, "filter") for family in shown)))
    outline = Outline(generation=4, tables=tuple(OutlineTable(family=family, name="filter") for family in told))
    monkeypatch.setattr(firewall, "read_outline", lambda: outline)
    saves = {"ip": NFT_SAVE, "ip6": NFT_SAVE6}
    assert names(firewall.capture()) == names(firewall.survey()) == [NFT_JSON, LEGACY_SAVE, *(saves[each] for each in shown)]
    assert len(ran) == 2 * (2 + len(set(shown) | set(told) & set(saves))), "each is asked once"


def test_a_chain_is_asked_of_both_tools_where_iptables_may_have_made_it(
    node: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = node()
    monkeypatch.setattr(nftnetlink, "Reader", lambda: Netlink(4))
    (found,) = firewall.read_parts(4, [PART]) or ()
    assert sorted(ran) == ["iptables-nft", "nft"]
    assert found.save is not None
    assert found.save.argv == ("iptables-nft", "-t", "filter", "-S", "INPUT", "-v")
    others = [replace(PART, family="inet"), replace(PART, table="mine"), replace(PART, kind="set"), replace(PART, name="-F")]
    assert [each.save for each in firewall.read_parts(4, others) or ()] == [None] * 4


def test_parts_of_two_generations_are_none(node: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    ran = node()
    monkeypatch.setattr(nftnetlink, "Reader", lambda: Netlink(5))
    assert firewall.read_parts(4, [PART]) is None
    assert ran == []
    monkeypatch.setattr(nftnetlink, "Reader", lambda: Netlink(4, 5))
    assert firewall.read_parts(4, [PART]) is None
