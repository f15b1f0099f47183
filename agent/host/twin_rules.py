"""The twin's rules: every table of the node that the packet can meet, loaded by the tool that can say it, and compared.

A table of nft's goes in as JSON, unless iptables made it and hid parts in `xt`: then iptables-nft's own text goes in. What was
loaded is read back in both languages; what differs from the node, or could not be loaded, is named, and no verdict rests on it.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from agent.host import twin_certainty, twin_iptables, twin_nft
from agent.host.command import run
from agent.host.in_parts import Held, Place
from agent.host.twin_iptables import Kind
from agent.model.capture import IPSET_SAVE, LEGACY_SAVE, LEGACY_SAVE6, NFT_JSON, NFT_SAVE, NFT_SAVE6, Reading
from agent.model.ruleset import Backend
from agent.model.twin import TwinInsert, TwinRequest, TwinRule

_SAVES = {
    (Backend.LEGACY, 4): LEGACY_SAVE,
    (Backend.LEGACY, 6): LEGACY_SAVE6,
    (Backend.NFT, 4): NFT_SAVE,
    (Backend.NFT, 6): NFT_SAVE6,
}


class Rules:
    """The tables of one firewall that a packet of one IP version can meet. `problems` grows with what is not modelled."""

    def __init__(self, held: Held, request: TwinRequest) -> None:
        firewall = held.firewall
        lists = {4: "ip_tables_names", 6: "ip6_tables_names"}
        unknown = (problem for problem in firewall.problems if problem.what == lists[request.source.version])
        self.problems = [f"{problem.what}: {problem.why}" for problem in unknown]
        self._firewall = firewall
        self._unread, self._in_part = held.unread, held.in_part
        self._request = request
        self._legacy = Kind(Backend.LEGACY, request.source.version)
        self._nft = Kind(Backend.NFT, request.source.version)
        self._native = self._read_native()
        self._texts = {kind: self._read_saves(kind) for kind in (self._legacy, self._nft)}
        self._choose()
        self._ask_for_ports()
        used = any("--match-set" in text for texts in self._texts.values() for text in texts.values())
        self._sets = self._reading(IPSET_SAVE) if used else None

    @property
    def wanted(self) -> tuple[str, ...]:
        """Interfaces that must exist before the rules can be loaded."""
        return tuple(dict.fromkeys(name for table in self._by_json for name in twin_nft.looks_up(self._objects(table))))

    @property
    def fresh(self) -> tuple[str, ...]:
        """Matches whose memory is empty here."""
        texts = [text for texts in self._texts.values() for text in texts.values()]
        native = (word for table in self._by_json for word in twin_nft.remembering(self._objects(table)))
        return tuple(dict.fromkeys((*twin_iptables.remembering(texts), *native)))

    def load(self) -> None:
        """Loads sets, then every table; at last the rule that is to be tried."""
        self._load_sets()
        for kind, texts in self._texts.items():
            said = twin_iptables.load(kind, tuple(texts.values())) if texts else ""
            if said:
                self.problems.append(f"iptables-{kind.backend} could not load its tables {', '.join(texts)}: {said}")
        said = twin_nft.load(item for table in self._by_json for item in self._objects(table))
        if said:
            self.problems.append(f"nft could not load the tables {', '.join(map(' '.join, self._by_json))}: {said}")
        if said := twin_nft.watch(self._watched):
            self.problems.append(f"no watch could be put into the chains that were not read: {said}")
        insert = self._request.insert
        if insert is not None:
            self._compare(self._saved(), self._listed())
            self._insert(insert)

    def met(self) -> "Met":
        """The rules that counted, after the twin was compared with the node unless a rule was inserted."""
        saved, listed = self._saved(), self._listed()
        if self._request.insert is None:
            self._compare(saved, listed)
        rules = [rule for kind, texts in saved.items() for rule in twin_iptables.counted(kind, texts)]
        rules += twin_nft.counted(listed, self._by_json)
        come = [rule for rule in rules if rule.backend == Backend.NFT and (rule.family, rule.table, rule.chain) in self._unread]
        self.problems += [f"the packet came to the chain {each.table} {each.chain}, which was not read" for each in come]
        return Met(tuple(rules), saved, listed)

    def is_certain(self, met: "Met") -> bool:
        """Whether these rules would do the same to the same packet again. Only what it came to counts."""
        sections = (text for texts in met.saved.values() for text in texts.values())
        return (
            not self.problems
            and all(map(twin_certainty.is_certain_text, sections))
            and all(twin_certainty.is_certain_table(met.listed, table) for table in self._by_json)
            and (self._sets is None or twin_certainty.is_certain_set(self._sets.stdout))
        )

    def _read_native(self) -> tuple[twin_nft.Object, ...]:
        reading = self._reading(NFT_JSON)
        if reading is None:
            return ()
        try:
            objects = twin_nft.read(reading.stdout)
        except ValueError as error:
            self.problems.append(str(error))
            return ()
        self.problems += twin_nft.outside(objects, self._request.iif, self._request.ports)
        return tuple(
            item
            for item in objects
            if "table" in (item[0], *item[1])
            and twin_nft.concerns(
                (item[1]["family"], item[1]["name"]) if item[0] == "table" else _place(item[1]), self._nft.version
            )
        )

    def _read_saves(self, kind: Kind) -> dict[str, str]:
        reading = self._reading(_SAVES[kind.backend, kind.version])
        listed = self._firewall.legacy_tables if kind.version == 4 else self._firewall.legacy_tables6
        found = twin_iptables.sections(reading.stdout) if reading else {}
        if kind.backend is Backend.LEGACY:
            self.problems += [f"the legacy table {name} was not read" for name in listed if name not in found]
        for name in list(found):
            if (why := twin_iptables.refusal(found[name])) and not self._is_plain(kind, name):
                self.problems.append(f"the table {name} of iptables-{kind.backend} is not loaded: {why}")
                del found[name]
        return found

    def _is_plain(self, kind: Kind, name: str) -> bool:
        """Whether the table is nft's and hides nothing from it, so that its save is not needed."""
        table = (kind.family, name)
        return kind.backend is Backend.NFT and not twin_nft.uses_xt(self._objects(table))

    def _choose(self) -> None:
        """Each table of nft's goes in by one language only."""
        hidden = [table for table in twin_nft.tables(self._native) if twin_nft.uses_xt(self._objects(table))]
        # Of a firewall that was read in part iptables' text has more than the JSON.
        wanted = twin_nft.tables(self._native) if self._in_part else hidden
        by_text = [table for table in wanted if table[0] == self._nft.family and table[1] in self._texts[self._nft]]
        self.problems += [
            f"the table {' '.join(table)} has parts that only iptables prints" for table in hidden if table not in by_text
        ]
        self._by_text = tuple(by_text)
        self._by_json = tuple(table for table in twin_nft.tables(self._native) if table not in (*hidden, *by_text))
        names = {table[1] for table in by_text}
        self._texts[self._nft] = {name: text for name, text in self._texts[self._nft].items() if name in names}

    def _ask_for_ports(self) -> None:
        asked = any(" physdev " in text for texts in self._texts.values() for text in texts.values())
        if asked and len(self._request.ports) != 1:
            self.problems.append(
                f"rules ask for the bridge's port, and by which port of {self._request.iif} pods come is not known"
            )

    def _load_sets(self) -> None:
        if self._sets is None:
            return
        done = run(("ipset", "restore"), self._sets.stdout.encode("utf-8", "surrogateescape"))
        if done.status != 0:
            said = done.problem or done.stderr.decode("utf-8", "replace").strip()
            self.problems.append(f"the ipsets could not be loaded: {said}")

    def _insert(self, wanted: TwinInsert) -> None:
        kind = self._legacy if wanted.backend == Backend.LEGACY else self._nft
        if said := twin_iptables.insert(kind, wanted):
            self.problems.append(f"the rule could not be inserted: {said}")

    def _compare(self, saved: Mapping[Kind, Mapping[str, str]], listed: tuple[twin_nft.Object, ...]) -> None:
        for kind, texts in self._texts.items():
            watched = frozenset((table, chain) for _, table, chain in self._watched) if kind == self._nft else frozenset()
            self.problems += twin_iptables.differences(kind, texts, saved[kind], watched)
        for table in (*self._by_text, *self._by_json):
            self.problems += twin_nft.differences(self._native, listed, table)

    def _saved(self) -> dict[Kind, dict[str, str]]:
        """What the save tools print of the twin, asked only where something was loaded through their language."""
        insert = self._request.insert
        asked = [kind for kind, texts in self._texts.items() if texts or (insert and insert.backend == kind.backend)]
        read = {kind: twin_iptables.sections(twin_iptables.save(kind)) for kind in asked}
        by_json = {name for family, name in self._by_json if family == self._nft.family}
        return {
            kind: {name: text for name, text in read.get(kind, {}).items() if kind == self._legacy or name not in by_json}
            for kind in self._texts
        }

    def _listed(self) -> tuple[twin_nft.Object, ...]:
        if not (self._by_json or self._by_text):
            return ()
        try:
            return twin_nft.listing()
        except ValueError as error:
            self.problems.append(str(error))
            return ()

    @property
    def _watched(self) -> tuple[Place, ...]:
        """The chains that were not read, of tables that are loaded."""
        loaded = {*self._by_text, *self._by_json}
        return tuple(place for place in self._unread if place[:2] in loaded)

    def _objects(self, table: twin_nft.Table) -> tuple[twin_nft.Object, ...]:
        return twin_nft.of_table(self._native, table)

    def _reading(self, name: str) -> Reading | None:
        """The reading, if it is whole; one that failed is a problem."""
        reading = self._firewall.reading(name)
        if reading is None and name == NFT_JSON:
            self.problems.append("nft's tables were not read")
        if reading is None or reading.status == 0:
            return reading
        self.problems.append(f"{name} was not read: {reading.problem or reading.stderr.strip() or reading.status}")
        return None


class Met:
    """The rules that counted the packet or its answer, and how each ends; and the twin's tables, as they print after it."""

    def __init__(
        self, rules: tuple[TwinRule, ...], saved: Mapping[Kind, Mapping[str, str]], listed: tuple[twin_nft.Object, ...]
    ) -> None:
        self.rules = rules
        self.saved = {(kind.backend.value, kind.family): texts for kind, texts in saved.items()}
        self.listed = listed

    def drops(self) -> Iterator[TwinRule]:
        """Those that end a packet silently, but not on its way out."""
        return (rule for rule in self.rules if self._ends(rule, "drop", "DROP"))

    def rejects(self) -> Iterator[TwinRule]:
        """Those that answer."""
        return (rule for rule in self.rules if self._ends(rule, "reject", "REJECT"))

    def _ends(self, rule: TwinRule, word: str, target: str) -> bool:
        if rule.chain in ("OUTPUT", "POSTROUTING", "FORWARD"):
            return False
        texts = self.saved.get((rule.backend, rule.family), {})
        if rule.table in texts:
            text = twin_iptables.text_of(texts, rule)
            return text == target if rule.policy else bool(re.search(rf" -j {target}(?: |$)", text))
        ending: Any = twin_nft.ending_of(self.listed, rule)
        return isinstance(ending, dict) and (word in ending or _vmap_holds(ending, word))


def _vmap_holds(ending: Mapping[str, Any], word: str) -> bool:
    """A verdict map may have dropped: which of its entries held is not counted."""
    return "vmap" in ending and f"'{word}'" in str(ending["vmap"])


def _place(body: Mapping[str, Any]) -> twin_nft.Table:
    return body["family"], body["table"]
