"""A rung of the ladder that a scrape climbs: what was tried on it, how long it took, and the fault that was found, if any."""

from collections.abc import Sequence
from dataclasses import dataclass

from agent.analysis.diagnosis.catalog import Cause
from agent.model.report import Evidence, Finding, Remedy, Severity, Word


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What is wrong on a rung. `go_error` is what metrics-server logs, word for word as far as it can be known.

    `hurts` is False where nobody that is seen here minds: then it is information. `kernel` is what the kernel itself says.
    """

    cause: Cause
    message: str
    go_error: str = ""
    remedy: Remedy | None = None
    hurts: bool = True
    kernel: tuple[str, ...] = ()

    @property
    def severity(self) -> Severity:
        """The cause's own, unless nobody minds."""
        return self.cause.severity if self.hurts else Severity.INFO


@dataclass(frozen=True, slots=True, kw_only=True)
class Rung:
    """`name` is the rung's, `saw` what was observed on it; `fault` is None where it holds, or cannot be judged."""

    name: str
    saw: str
    fault: Fault | None = None


def finding_of(rungs: Sequence[Rung], fault: Fault, url: str) -> Finding:
    """The finding of a fault, with every rung up to its own as evidence: those below hold, and its own is the proof."""
    last = next(index for index, rung in enumerate(rungs) if rung.fault is fault)
    climbed = rungs[: last + 1]
    evidence = [Evidence(witness=rung.name, text=rung.saw) for rung in climbed]
    words = {rung.name: Word.AGREES if rung.fault is fault else Word.SILENT for rung in climbed}
    if fault.kernel:
        evidence += [Evidence(witness="kernel", text=text) for text in fault.kernel]
        words["kernel"] = Word.AGREES
    message = fault.message
    if fault.go_error:
        line = fault.go_error if fault.go_error.startswith("request failed") else f'Get "{url}": {fault.go_error}'
        evidence.append(Evidence(witness="log", text=line))
        words["log"] = Word.SILENT
        message = f"{message} As metrics-server logs it: {line}"
    return Finding(
        code=fault.cause.code,
        severity=fault.severity,
        title=fault.cause.title,
        message=message,
        witnesses=words,
        evidence=tuple(evidence),
        remedy=fault.remedy,
    )
