"""Three-valued truth: a question about a packet may be unanswerable, and that is an answer."""

from enum import StrEnum


class Tri(StrEnum):
    """YES, NO or UNKNOWN. Never `None` standing in for "maybe"."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"

    def negated(self) -> "Tri":
        """NOT in Kleene's logic: the unknown stays unknown."""
        if self is Tri.UNKNOWN:
            return self
        return Tri.NO if self is Tri.YES else Tri.YES

    @staticmethod
    def of(value: bool) -> "Tri":
        """The certain answer."""
        return Tri.YES if value else Tri.NO
