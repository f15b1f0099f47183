"""Reads many rules of few shapes quickly: rules of one shape share everything but the values of a few options.

A large ruleset is made by a program, which writes the same words with other addresses, ports, comments and chains. So a line
is parted at the values of those options; what is left is its shape. A shape is understood once, by the same readers that read
any rule, with a placeholder for each value; from then on only the values are read, and everything else is shared. A shape
whose placeholders do not all end up as the one value of their option is not served here, nor is one with a quote outside a
value: where words begin and end, and what they belong to, is then the same for every line of the shape.
"""

import re
from collections.abc import Callable
from typing import NamedTuple

from agent.analysis.readers.addresses import EVERYWHERE, parse_network
from agent.analysis.readers.intervals import exactly
from agent.analysis.readers.iptables_matches import read_builtin, read_match
from agent.analysis.readers.iptables_options import Extension, Option, sort_words
from agent.analysis.readers.iptables_targets import read_target
from agent.analysis.readers.numerals import parse_number
from agent.analysis.readers.port_matches import PORTS
from agent.analysis.readers.services import parse_protocol
from agent.analysis.readers.tokens import QUOTED, unquoted, words
from agent.model.packet import PROTOCOLS, Field
from agent.model.ruleset import Compare, Statement

# A value is one whole word for tokens.py too; `!` may stand before a value and is none. Only a target that ends the line has
# no options of its own.
_VALUE = re.compile(
    rf' (-s|-d|--sport|--dport|--comment|-j(?= [^" \t\n]++\Z)) ({QUOTED}|[^"! \t\n][^" \t\n]*+)(?= |\Z)', re.DOTALL
)
_PLACEHOLDER = "\0"  # no kernel has such a name
_TRANSPORTS = {"tcp": PROTOCOLS["tcp"], "udp": PROTOCOLS["udp"]}
# More shapes than any program writes; beyond that the text is hostile, and memory counts more than speed.
_MOST = 4096

_Read = Callable[[str], tuple[Statement, ...]]


class _Step(NamedTuple):
    """The statements before a value, the value's place among the line's values, and who reads it."""

    fixed: tuple[Statement, ...]
    place: int
    read: _Read


class _Shape(NamedTuple):
    """A rule without its values; `last` are the statements behind the last one, `comment` is the place of the comment."""

    steps: tuple[_Step, ...]
    last: tuple[Statement, ...]
    comment: int | None


class Shapes:
    """The shapes seen so far in one table. `family` is `ip` or `ip6`, `chains` the names of the table's chains."""

    def __init__(self, family: str, chains: frozenset[str]) -> None:
        self._family, self.chains = family, chains
        self._shapes: dict[tuple[str, ...], _Shape | None] = {}
        self._ports: dict[tuple[Field, bool], dict[int, Compare]] = {}

    def read(self, specification: str) -> tuple[tuple[Statement, ...], str] | None:
        """The statements and the comment of a rule: what follows `-A CHAIN`, with the blank before it.

        None when no shape serves, and the rule has to be read word by word.
        """
        pieces: list[str] = _VALUE.split(specification)
        values = pieces[2::3]
        del pieces[2::3]
        key = tuple(pieces)
        if key not in self._shapes:
            if len(self._shapes) >= _MOST:
                self._shapes.clear()
            self._shapes[key] = self._understand(pieces)
        shape = self._shapes[key]
        if shape is None:
            return None
        steps, last, comment = shape
        statements = last
        if steps:
            found: list[Statement] = []
            for fixed, place, read in steps:
                found += fixed
                found += read(values[place])
            found += last
            statements = tuple(found)
        return statements, "" if comment is None else unquoted(values[comment])

    def _understand(self, pieces: list[str]) -> _Shape | None:
        if any('"' in each or _PLACEHOLDER in each for each in pieces):
            return None
        found = words(pieces[0])
        for place in range(len(pieces) // 2):
            found += [pieces[2 * place + 1], f"{_PLACEHOLDER}{place}", *words(pieces[2 * place + 2])]
        sketch = _Sketch()
        return sketch.finish(len(pieces) // 2) if self._draw(sketch, found) else None

    def _draw(self, sketch: "_Sketch", found: list[str]) -> bool:
        """Everything that the rule says, in the order of `read_words`. False when it is not plain enough for a shape."""
        rule = sort_words(found)
        if rule.leftovers or rule.counts:
            return False
        protocol = None
        for option in rule.builtin:
            if _is_open(option):
                sketch.add_value(option, self._address(option))
            else:
                sketch.add(read_builtin(option, self._family))
            if option.name == "-p" and not option.negate:
                protocol = parse_protocol(option.value)
        if not all(self._draw_match(sketch, match, protocol) for match in rule.matches):
            return False
        if rule.target is not None and rule.target.name.startswith(_PLACEHOLDER):
            sketch.add_value(Option("", (rule.target.name,)), self._target(goto=rule.goto))
        elif rule.target is not None:
            sketch.add(read_target(rule.target, rule.goto, self._family, self.chains))
        return True

    def _draw_match(self, sketch: "_Sketch", match: Extension, protocol: int | None) -> bool:
        options = match.options
        if not any(map(_is_open, options)):
            sketch.add(read_match(match.name, tuple(options), self._family, protocol))
            return match.name != "comment"
        if match.name == "comment":
            return len(options) == 1 and options[0].name == "--comment" and sketch.add_comment(options[0])
        name = match.name or next((each for each, number in _TRANSPORTS.items() if number == protocol), "")
        if name not in _TRANSPORTS:
            return False
        # Each option of a transport gives one statement, behind the test for the transport itself.
        sketch.add(read_match(name, (), self._family, protocol))
        for option in options:
            if _is_open(option) and option.name in PORTS:
                sketch.add_value(option, self._port(name, option))
            else:
                sketch.add(read_match(name, (option,), self._family, _TRANSPORTS[name]))
        return True

    def _address(self, option: Option) -> _Read:
        """One network; whatever else may stand there, the reader of all rules knows."""
        name, negate, family = option.name, option.negate, self._family
        field = Field.SADDR if name == "-s" else Field.DADDR

        def read(value: str) -> tuple[Statement, ...]:
            network = None if value in EVERYWHERE else parse_network(value, family)
            if network is None:
                return read_builtin(Option(name, (value,), negate), family)
            return (Compare(field, network, negate),)

        return read

    def _port(self, name: str, option: Option) -> _Read:
        """Plain numbers are shared by all rules: there are no more than 65,536."""
        asked, negate, family = option.name, option.negate, self._family
        field = PORTS[asked]
        known = self._ports.setdefault((field, negate), {})

        def read(value: str) -> tuple[Statement, ...]:
            number = parse_number(value, 0xFFFF)
            if number is None:
                return read_match(name, (Option(asked, (value,), negate),), family, _TRANSPORTS[name])
            found = known.get(number)
            if found is None:
                found = known[number] = Compare(field, exactly(number), negate)
            return (found,)

        return read

    def _target(self, *, goto: bool) -> _Read:
        return lambda value: read_target(Extension(value, []), goto, self._family, self.chains)


class _Sketch:
    """A shape while it is made."""

    def __init__(self) -> None:
        self.steps: list[_Step] = []
        self.fixed: list[Statement] = []
        self.comments: list[int] = []

    def add(self, statements: tuple[Statement, ...]) -> None:
        """Statements that every rule of the shape shares."""
        self.fixed += statements

    def add_value(self, option: Option, read: _Read) -> None:
        """A value that differs from rule to rule."""
        self.steps.append(_Step(tuple(self.fixed), _place(option), read))
        self.fixed.clear()

    def add_comment(self, option: Option) -> bool:
        """The comment; a rule with several is not plain."""
        self.comments.append(_place(option))
        return len(self.comments) == 1

    def finish(self, values: int) -> _Shape | None:
        """The shape; None when one of its values was taken for something else than a value."""
        if len(self.steps) + len(self.comments) != values:
            return None
        return _Shape(tuple(self.steps), tuple(self.fixed), self.comments[0] if self.comments else None)


def _is_open(option: Option) -> bool:
    return bool(option.values) and option.values[0].startswith(_PLACEHOLDER)


def _place(option: Option) -> int:
    return int(option.values[0][1:])
