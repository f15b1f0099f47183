"""Rules that are understood when somebody asks for them.

A node with five thousand services has a hundred thousand rules, of which one packet meets a few thousand. Where the lines of a
chain lie is all that has to be known of the others, so a reader leaves them as they are, and the walk pulls what it meets.
"""

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import overload

from agent.analysis.readers.tokens import logical_lines
from agent.model.ruleset import Rule


class Lines:
    """The lines of one chain's rules, as stretches of a text that nobody copies."""

    __slots__ = ("_spans", "_text")

    def __init__(self, text: str) -> None:
        self._text, self._spans = text, array("L")

    def add(self, start: int, end: int) -> None:
        """One stretch more, behind the others."""
        self._spans.extend((start, end))

    def __iter__(self) -> Iterator[str]:
        for start, end in self._stretches():
            for _, line in logical_lines(self._text[start:end]):
                yield line

    def mention(self, word: str) -> bool:
        """Whether the word is anywhere in these lines."""
        return any(self._text.find(word, start, end) >= 0 for start, end in self._stretches())

    def repeat(self, other: "Lines") -> bool:
        """Whether these are the other's lines, byte by byte."""
        pairs = zip(self._stretches(), other._stretches(), strict=False)
        return len(self._spans) == len(other._spans) and all(
            self._text[start:end] == other._text[first:last] for (start, end), (first, last) in pairs
        )

    def __bool__(self) -> bool:
        return bool(self._spans)

    def _stretches(self) -> Iterator[tuple[int, int]]:
        return zip(self._spans[::2], self._spans[1::2], strict=True)


class LateRules(Sequence[Rule]):
    """The rules of these lines, as `understand` makes them when somebody looks at one for the first time.

    Equal to every row of the same rules, as a tuple would be. Whether there is one at all is known without a look.
    """

    __slots__ = ("_lines", "_rules", "_understand")

    def __init__(self, lines: Lines, understand: Callable[[Iterable[str]], Iterable[Rule]]) -> None:
        self._lines, self._understand = lines, understand
        self._rules: tuple[Rule, ...] | None = None

    def mention(self, word: str) -> bool:
        """Whether the word is anywhere in the text of these rules."""
        return self._lines.mention(word)

    def repeat(self, other: "LateRules") -> bool:
        """Whether these are the other's lines, counters included. Rules that nobody asked for stay as they lie."""
        return self._lines.repeat(other._lines)

    def __bool__(self) -> bool:
        return bool(self._lines)

    def __len__(self) -> int:
        return len(self._look())

    @overload
    def __getitem__(self, index: int) -> Rule: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Rule, ...]: ...
    def __getitem__(self, index: int | slice) -> Rule | tuple[Rule, ...]:
        return self._look()[index]

    def __iter__(self) -> Iterator[Rule]:
        return iter(self._look())

    def __eq__(self, other: object) -> bool:
        return self._look() == (other._look() if isinstance(other, LateRules) else other)

    def __hash__(self) -> int:
        return hash(self._look())

    def __repr__(self) -> str:
        return repr(self._look())

    def _look(self) -> tuple[Rule, ...]:
        if self._rules is None:
            self._rules = tuple(self._understand(self._lines))
        return self._rules


def mention(rules: Sequence[Rule], word: str) -> bool:
    """Whether the word is anywhere in the text of these rules, without understanding those that nobody asked for yet."""
    return rules.mention(word) if isinstance(rules, LateRules) else any(word in rule.text for rule in rules)


def repeat(rules: Sequence[Rule], others: Sequence[Rule]) -> bool:
    """Whether these were printed alike to the last counter, as far as that is known without understanding them."""
    return isinstance(rules, LateRules) and isinstance(others, LateRules) and rules.repeat(others)
