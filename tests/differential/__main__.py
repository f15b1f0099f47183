"""`python -m tests.differential --pairs N --seed S`: a campaign of any length; ends with 1 when something disagreed.

Where no namespaces can be made it says so, and ends with 5.
"""

import argparse
import sys
from concurrent.futures import ProcessPoolExecutor
from random import Random, SystemRandom

import pytest

from tests.differential.campaign import Score, run_campaign, start_judge
from tests.differential.cases import keep
from tests.differential.shrink import shrink
from tests.differential.trial import Finding

# A disagreement made small takes a second; who has more than these has one fault in many dresses.
_SHRUNK = 8
_TELL_EVERY = 20.0


def main() -> int:
    """Runs it, a share per worker, and says what came of it."""
    parser = argparse.ArgumentParser(prog="python -m tests.differential", description=__doc__.partition("\n")[0])
    parser.add_argument("--pairs", type=int, default=20000, help="how many packets to compare (20000)")
    parser.add_argument("--seed", type=int, default=SystemRandom().randrange(1 << 32), help="names the campaign (random)")
    parser.add_argument("--workers", type=int, default=1, help="judges at work at the same time (1)")
    asked = parser.parse_args()
    print(f"seed {asked.seed}, {asked.pairs} pairs, {asked.workers} workers", flush=True)
    shares = [(asked.seed + number, asked.pairs // asked.workers) for number in range(asked.workers)]
    total = Score()
    try:
        start_judge().close()
    except pytest.skip.Exception as reason:
        print(reason)
        return 5
    with ProcessPoolExecutor(asked.workers) as pool:
        for share in pool.map(run_share, shares):
            total.add(share)
            total.seconds = max(total.seconds, share.seconds)
    print(total)
    for refusal in total.refused[:3]:
        print(f"refused: {refusal[:300]}")
    return 1 if total.disagreements else 0


def run_share(share: tuple[int, int]) -> Score:
    """One worker's part: seed and pairs."""
    seed, pairs = share
    kernel = start_judge()
    told, score = 0.0, Score()
    for score in run_campaign(kernel, Random(seed), pairs):
        if score.seconds - told > _TELL_EVERY:
            told = score.seconds
            print(f"[seed {seed}] {score}", flush=True)
    # One of each kind per firewall: its packets mostly stumble over the same rule.
    first = {(id(firewall), kinds_of(finding)): (firewall, finding) for firewall, finding in reversed(score.disagreements)}
    for firewall, finding in sorted(first.values(), key=lambda pair: kinds_of(pair[1]) == {"undecided"})[:_SHRUNK]:
        smallest = shrink(kernel, firewall, finding)
        print(f"[seed {seed}] {'; '.join(finding.faults)}")
        if smallest is None:
            print(f"[seed {seed}] only in company of other packets: {finding.shot}")
            continue
        path = keep("; ".join(finding.faults), smallest, finding.shot)
        print(
            f"[seed {seed}] kept as {path.name}:",
            *smallest.legacy,
            *smallest.nft_save,
            *smallest.native,
            finding.shot,
            sep="\n   ",
        )
    kernel.close()
    return score


def kinds_of(finding: Finding) -> frozenset[str]:
    """The kinds of its faults."""
    return frozenset(each.partition(":")[0] for each in finding.faults)


if __name__ == "__main__":
    sys.exit(main())
