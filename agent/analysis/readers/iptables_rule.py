"""One rule of iptables, from words to statements, in parts: each part is what one extension contributed.

The parts are kept apart because iptables-nft shows some of them twice: as nft expressions and as text (see slots.py).
"""

from functools import lru_cache
from typing import NamedTuple

from agent.analysis.readers.iptables_matches import read_builtin, read_match
from agent.analysis.readers.iptables_options import sort_words
from agent.analysis.readers.iptables_targets import read_target
from agent.analysis.readers.numerals import parse_number
from agent.analysis.readers.services import parse_protocol
from agent.model.packet import Field
from agent.model.ruleset import Counter, Forget, Statement, Unclear

ANYTHING = (Field.MARK, Field.CT_MARK)  # what a rule that was not understood may have rewritten


class Part(NamedTuple):
    """The statements of one extension; its name is empty for what is built in, `target` tells a target from a match."""

    name: str
    statements: tuple[Statement, ...]
    target: bool = False


class Reading(NamedTuple):
    """What a rule says. `fault` is a sentence when a word had no place; the parts then end in an `Unclear`.

    `counter` stands in three words, of which the first is at `counter_at` when the rule reads the same without them.
    """

    parts: list[Part]
    comment: str = ""
    counter: Counter | None = None
    counter_at: int | None = None
    fault: str = ""

    @property
    def statements(self) -> tuple[Statement, ...]:
        """All statements in the rule's order: built-in tests, extensions, target."""
        return tuple([statement for part in self.parts for statement in part.statements])


def read_words(words: list[str], family: str, chains: frozenset[str]) -> Reading:
    """The words after `-A CHAIN`, understood. `family` is `ip` or `ip6`, `chains` the names of the table's chains."""
    specification = sort_words(words)
    protocol, comments = None, list[str]()
    builtin: list[Statement] = []
    for option in specification.builtin:
        builtin += read_builtin(option, family)
        if option.name == "-p" and not option.negate:
            protocol = parse_protocol(option.value)
    parts = [Part("", tuple(builtin))]
    for name, options in specification.matches:
        if name == "comment" and len(options) == 1 and options[0].name == "--comment":
            comments.append(options[0].value)
            parts.append(Part(name, ()))
        else:
            parts.append(Part(name, read_match(name, tuple(options), family, protocol)))
    fault = ""
    if specification.leftovers:
        fault = f"these words have no place in the rule: {' '.join(specification.leftovers)}"
        parts.append(Part("", (Forget(ANYTHING, " ".join(words), fault), Unclear(" ".join(words), fault))))
    elif specification.target is not None:
        actions = read_target(specification.target, specification.goto, family, chains)
        parts.append(Part(specification.target.name, actions, True))
    return Reading(parts, " ".join(filter(None, comments)), parse_counter(specification.counts), specification.counts_at, fault)


@lru_cache(maxsize=1024)  # most rules of a large set never counted a packet
def parse_counter(counts: tuple[str, ...]) -> Counter | None:
    """(packets, bytes) as printed; None unless both are numbers."""
    numbers = [parse_number(each.lstrip("0") or "0") for each in counts]
    if len(numbers) != 2 or numbers[0] is None or numbers[1] is None:
        return None
    return Counter(numbers[0], numbers[1])
