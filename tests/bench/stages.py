"""What the reports of a row say of their own stages."""

import statistics
from typing import Any


class Stages:
    """Collects `seconds` of reports."""

    def __init__(self) -> None:
        self._seen: dict[str, list[float]] = {}

    def keep(self, report: dict[str, Any]) -> None:
        """One report's."""
        for name, seconds in report["seconds"].items():
            self._seen.setdefault(name, []).append(seconds * 1000)

    def clear(self) -> None:
        """Forgets those of the warm-up."""
        self._seen.clear()

    def medians(self) -> dict[str, float]:
        """Milliseconds for each stage, the longest first; stages run side by side, so that they do not add up."""
        found = {name: round(statistics.median(values), 2) for name, values in self._seen.items()}
        return dict(sorted(found.items(), key=lambda item: -item[1]))
