"""An entry of the catalogue, and the catalogue: every code once."""

from dataclasses import dataclass

from agent.model.report import Severity


@dataclass(frozen=True, slots=True)
class Cause:
    """One entry. `code` is kebab-case and never changes its meaning."""

    code: str
    severity: Severity
    title: str


CATALOG: dict[str, Cause] = {}


def declare(code: str, severity: Severity, title: str) -> Cause:
    """Enters a cause. Raises `ValueError` where its code is taken."""
    if code in CATALOG:
        raise ValueError(f"the finding {code} is declared twice")
    CATALOG[code] = Cause(code, severity, title)
    return CATALOG[code]
