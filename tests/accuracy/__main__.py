"""`make accuracy`: prints the confusion matrix and keeps it in docs/accuracy.md; exits with 1 where anything is wrong."""

import argparse
import sys
import time
from pathlib import Path

from tests.accuracy.campaign import run, variants
from tests.accuracy.matrix import share, table, wrong

PAGE = Path(__file__).parents[2] / "docs" / "accuracy.md"
HEAD = """# Accuracy

Every incident of `kubereach lab list` is staged on every backend that it has, in namespaces of its own, and diagnosed once
with the command that everybody uses. Right means: the staged cause is the first finding, no other finding is as severe, and the
state is the staged one; on a healthy node nothing above info is found. `make accuracy` writes this table, and a test fails when
anything is wrong.

"""


def main() -> int:
    """Runs the incidents named, or all of them."""
    parser = argparse.ArgumentParser(prog="make accuracy")
    parser.add_argument("incidents", nargs="*")
    parser.add_argument("--workers", type=int, default=0)
    options = parser.parse_args()
    start, trials = time.monotonic(), []
    for trial in run(variants(options.incidents), options.workers):
        trials.append(trial)
        if not trial.right:
            print(wrong(trial), file=sys.stderr, flush=True)
    print(table(trials), end="")
    print(f"{time.monotonic() - start:.0f} s")
    if not options.incidents:
        PAGE.write_text(HEAD + table(trials), encoding="utf-8")
    return 0 if share(trials) == 1 else 1


if __name__ == "__main__":
    sys.exit(main())
