"""Becomes another program without any privilege: `python -m agent.host.launch PARENT USER PROGRAM [ARGUMENT ...]`.

A process of its own, because dropping privileges and the death signal must happen after the fork and before the program.
The death signal comes last: changing the user clears it (prctl(2)).
"""

import os
import sys

from agent.host import privilege


def main() -> None:
    """Never returns; ends with a sentence where something could not be dropped."""
    parent, user, program, *arguments = sys.argv[1:]
    try:
        privilege.give_up(int(user))
        privilege.leash(int(parent))
        os.execvp(program, [program, *arguments])  # noqa: S606  argv comes from the supervisor, no shell is involved
    except OSError as error:
        sys.exit(f"kubereach: the front was not started: {error}")


if __name__ == "__main__":
    main()
