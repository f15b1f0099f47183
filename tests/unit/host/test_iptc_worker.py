from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from agent.host import iptc_worker


class Table:
    """What the worker touches of the library's tables: naming one that does not exist would create it."""

    ALL = ("security", "raw", "mangle", "nat", "filter")
    existing_table_names: dict[str, bool]
    named: list[tuple[str, bool]]

    def __init__(self, name: str, *, autocommit: bool) -> None:
        type(self).named.append((name, autocommit))


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    Table.existing_table_names, Table.named = {}, []
    target = SimpleNamespace(name="REJECT", standard_target="")
    rule = SimpleNamespace(
        target=target,
        protocol="tcp",
        src="10.0.0.0/255.0.0.0",
        dst="!0.0.0.0/0.0.0.0",
        in_interface=None,
        matches=[SimpleNamespace(name="tcp"), SimpleNamespace(name="comment")],
        get_counters=lambda: (7, 420),
    )
    bare = SimpleNamespace(**{**vars(rule), "target": None, "matches": []})
    chain = SimpleNamespace(rules=[rule, bare], get_policy=lambda: SimpleNamespace(name="DROP"))
    (tmp_path / "names").write_text("nat\nfilter\n")
    monkeypatch.setattr(iptc_worker, "_TABLES", tmp_path / "names")
    return SimpleNamespace(Table=Table, Chain=lambda table, name: chain)


def test_the_chain_is_decoded(library: Any) -> None:
    chain = iptc_worker.read_input(library)
    assert (chain.policy, chain.problem) == ("DROP", "")
    first, second = chain.rules
    assert (first.number, first.target, first.matches, first.packets) == (1, "REJECT", ("tcp", "comment"), 7)
    assert (second.number, second.target) == (2, "")


def test_no_other_table_is_named_and_none_commits(library: Any) -> None:
    iptc_worker.read_input(library)
    assert Table.named == [("filter", False)]
    assert Table.existing_table_names == {"security": False, "raw": False, "mangle": False, "nat": False, "filter": True}


def test_a_table_that_went_away_is_not_created(library: Any, tmp_path: Path) -> None:
    (tmp_path / "names").write_text("")
    assert "does not exist" in iptc_worker.read_input(library).problem
    assert Table.named == []


def test_the_extensions_are_found_where_a_distribution_puts_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "empty" / "xtables").mkdir(parents=True)
    (tmp_path / "full" / "xtables").mkdir(parents=True)
    (tmp_path / "full" / "xtables" / "libxt_tcp.so").write_text("")
    monkeypatch.setattr(iptc_worker, "_EXTENSIONS", (f"{tmp_path}/none", f"{tmp_path}/*/xtables"))
    assert iptc_worker.find_extensions() == f"{tmp_path}/full/xtables"
    monkeypatch.setattr(iptc_worker, "_EXTENSIONS", (f"{tmp_path}/none",))
    assert iptc_worker.find_extensions() is None
