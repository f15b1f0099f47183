"""One rule of ours in, replaced, or out: the writes, each tested first, made under the backend's own safeguard, and read back.

Legacy: under iptables' lock the table's bytes must be those that were read; the lock is held for that and the commit. nft: its
generation must be that of the reading; what slips in between is seen when the rule is read back, and then the rule goes again.
"""

from collections.abc import Callable, Iterator

from agent.host import firewall, operations
from agent.host.errors import FixRefused, HostError
from agent.host.fixing import lock, snapshot
from agent.host.fixing.filter_table import OURS, FilterTable, count_same, parse, same_rule
from agent.host.fixing.tool import Tool
from agent.model.plan import Place

# Somebody who writes a hundred times a second leaves gaps of ten milliseconds; a read and a write fit in one of a few.
_ATTEMPTS = 5
# In bytes of the kernel's own form, some 5,000 rules: they are read and written in less than 50 ms.
_MIB = 1024 * 1024
_SMALL = _MIB
# Under iptables' lock a writer that hangs is killed after so long: kube-proxy and the CNI wait meanwhile. A commit of 10,000
# rules (2 MiB) takes 0.1 s and one of 100,000 one second, ten times as long on a machine in trouble.
_HELD, _HELD_EACH_MIB = 1.0, 0.5
Build = Callable[[FilterTable], tuple[str, ...]]
_CHANGED = "The rules changed while the fix was put in; it was taken out again. Make a new plan."


def tools() -> Iterator[Tool]:
    """Each backend and version whose filter table exists. Looking does not make one."""
    for family, version in (("ip", 4), ("ip6", 6)):
        if "filter" in firewall.legacy_tables(family, []):
            yield Tool("legacy", version)
        yield Tool("nft", version)


def read(tool: Tool) -> FilterTable:
    """The filter table now. Raises `HostError`, `FixRefused`."""
    return parse(tool.save())


def put(tool: Tool, place: Place, rule: str, check: Callable[[FilterTable], int], wait: float) -> None:
    """Puts the rule in. `check` is shown the table and gives the position, or refuses. Raises `FixRefused`, `HostError`."""

    def build(table: FilterTable) -> tuple[str, ...]:
        return (f"-I {place.chain} {check(table)} {rule}",)

    _make(tool, place, rule, build, wait)


def replace(tool: Tool, place: Place, fix: str, rule: str, wait: float) -> None:
    """Gives our rule another end, in one commit, where it stands. Raises `FixRefused` where it stands there no more."""

    def build(table: FilterTable) -> tuple[str, ...]:
        lines = table.chains.get(place.chain, ())
        old = next((line for line in lines if (found := OURS.fullmatch(line)) and found["id"] == fix), None)
        if old is None or not _stands_before(lines, old, place):
            sentence = f"The rule of fix {fix} does not stand before the rule that blocks any more: make a new plan."
            raise FixRefused(operations.CHANGED, sentence)
        return (f"-D{old.removeprefix('-A')}", f"-I {place.chain} {lines.index(old) + 1} {rule}")

    _make(tool, place, rule, build, wait)


def remove(tool: Tool, wanted: Callable[[str, str, str], bool], wait: float) -> int:
    """Takes out each rule of ours for which `wanted` (its fix, its chain, the rule) says so, by its full specification.

    Returns how many there were.
    """
    removed, said = 0, ""
    for _ in range(_ATTEMPTS):
        found = parse(tool.save()).ours()
        lines = tuple(item[0] for item in found if wanted(item["id"], item["chain"], item["rule"].replace('"', "")))
        if not lines:
            return removed
        said = _commit(tool, tuple(f"-D{line.removeprefix('-A')}" for line in lines), wait)
        removed += 0 if said else len(lines)
    left = parse(tool.save()).ours()
    if any(wanted(item["id"], item["chain"], item["rule"].replace('"', "")) for item in left):
        raise HostError(f"{tool.program} does not take a rule out: {said}")
    return removed


def _make(tool: Tool, place: Place, rule: str, build: Build, wait: float) -> None:
    """Makes what `build` wants of the table, of exactly the table that it was shown, and reads the rule back."""
    for attempt in range(_ATTEMPTS):
        last = attempt == _ATTEMPTS - 1
        if tool.backend == "nft":
            before = _make_nft(tool, build, insist=last)
        else:
            before = _make_locked(tool, build, wait) if last else _make_legacy(tool, build, wait)
        if before is not None:
            _insist_on_place(tool, before, place, rule, wait)
            return
    raise FixRefused(operations.CHANGED, "The rules change faster than they can be written: nothing was changed. Try again.")


def _make_legacy(tool: Tool, build: Build, wait: float) -> FilterTable | None:
    """The table as it was before the change; None where it changed meanwhile, and nothing was done."""
    first = snapshot.legacy(tool.version)
    table = read(tool)
    seen = snapshot.legacy(tool.version, like=first)
    if not seen.same(first):
        return None
    change = build(table)
    _insist_on_taste(tool, change)
    with tool.prepared() as writer:
        with lock.xtables(wait):
            if not snapshot.legacy(tool.version, like=seen).same(seen):
                return None
            said = writer.finish(change, _patience(seen))
        _insist_on_word(tool, said)
    return table


def _make_locked(tool: Tool, build: Build, wait: float) -> FilterTable | None:
    """The same where others never pause: reads under the lock, too. Not of a large table, which would hold it for too long."""
    small = snapshot.legacy(tool.version)
    if len(small.data) > _SMALL:
        return None
    with tool.prepared() as writer:
        with lock.xtables(wait):
            table = read(tool)
            said = writer.finish(build(table), _patience(small))
        _insist_on_word(tool, said)
    return table


def _make_nft(tool: Tool, build: Build, *, insist: bool) -> FilterTable | None:
    generation = snapshot.generation()
    table = read(tool)
    change = build(table)
    _insist_on_taste(tool, change)
    with tool.prepared() as writer:
        # Tables that have nothing to do with ours count, too: after some attempts the reading back must do.
        if snapshot.generation() != generation and not insist:
            return None
        _insist_on_word(tool, writer.finish(change))
    return table


def _insist_on_taste(tool: Tool, change: tuple[str, ...]) -> None:
    if said := tool.test(change):
        raise FixRefused(operations.NO_TOOL, f"{tool.program} does not take the rule, and nothing was changed: {said}")


def _insist_on_word(tool: Tool, said: str) -> None:
    if said:
        raise FixRefused(operations.NO_TOOL, f"{tool.program} could not put the rule in, and nothing was changed: {said}")


def _commit(tool: Tool, change: tuple[str, ...], wait: float) -> str:
    with tool.prepared() as writer:
        if tool.backend == "nft":
            return writer.finish(change)
        patience = _patience(snapshot.legacy(tool.version))
        with lock.xtables(wait):
            return writer.finish(change, patience)


def _patience(table: snapshot.LegacyTable) -> float:
    """Seconds that a commit of this table may hold iptables' lock."""
    return _HELD + _HELD_EACH_MIB * len(table.data) / _MIB


def _insist_on_place(tool: Tool, before: FilterTable, place: Place, rule: str, wait: float) -> None:
    """Reads the rule back: once, directly before the rule that blocks, all else as it was. Else it goes again."""
    table = parse(tool.save())
    lines = table.chains.get(place.chain, ())
    mine = next((line for line in lines if same_rule(line, place.chain, rule)), "")
    whole = count_same(lines, place.chain, rule) == 1 and _stands_before(lines, mine, place)
    if whole and table.lines() == before.lines():
        return
    remove(tool, lambda _fix, chain, text: (chain, text) == (place.chain, rule), wait)
    raise FixRefused(operations.CHANGED, _CHANGED)


def _stands_before(lines: tuple[str, ...], mine: str, place: Place) -> bool:
    """Whether what follows is the rule that blocks; other rules of ours may stand between."""
    if mine not in lines:
        return False
    index = lines.index(mine)
    following = [(number, line) for number, line in enumerate(lines) if number > index and not OURS.fullmatch(line)]
    if not place.before:
        return not following
    if not following or following[0][1] != place.before:
        return False
    return lines[: following[0][0] + 1].count(place.before) == place.nth
