"""Exit codes of the command line: part of the interface, so they live with the nouns."""

from enum import IntEnum

from agent.model.report import State


class ExitCode(IntEnum):
    """What a script may rely on."""

    FINE = 0
    PROBLEM = 1
    USAGE = 2
    UNDECIDED = 3
    REFUSED = 4
    BLIND = 5  # could not look: no privilege, no node, no such file

    @staticmethod
    def of(state: State) -> "ExitCode":
        """The code for a report's state."""
        return {
            State.REACHABLE: ExitCode.FINE,
            State.BLOCKED: ExitCode.PROBLEM,
            State.DEGRADED: ExitCode.PROBLEM,
            State.UNKNOWN: ExitCode.UNDECIDED,
        }[state]
