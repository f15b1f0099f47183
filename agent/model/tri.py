"""Three-valued truth: a question about a packet may be unanswerable, and that is an answer."""

from enum import StrEnum


class Tri(StrEnum):
    """YES, NO or UNKNOWN. Never `None` standing in for "maybe"."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"

    @staticmethod
    def of(value: bool) -> "Tri":
        """The certain answer."""
        return Tri.YES if value else Tri.NO
