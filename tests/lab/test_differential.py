"""The model held to the kernel by chance, and by every disagreement that was ever found: a short run of `make fuzz`."""

import os
from collections.abc import Iterator
from random import Random, SystemRandom

import pytest

from tests.differential.campaign import Score, run_campaign, start_judge
from tests.differential.cases import Kept, read_cases
from tests.differential.trial import compare, run_trial
from tests.lab.kernel_truth import Kernel

PAIRS, FRESH_PAIRS, ROOTLESS_PAIRS = 2000, 1000, 400
# A machine that is busy with other things compares fewer pairs of chance; those of the fixed seed it compares all.
SECONDS = 15
SEED = 20260719
CASES = read_cases()


@pytest.fixture(scope="module")
def kernel() -> Iterator[Kernel]:
    found = start_judge()
    yield found
    found.close()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_was_wrong_once(kernel: Kernel, case: Kept) -> None:
    findings = list(compare(run_trial(kernel, case.firewall, case.shots)))
    assert [fault for finding in findings for fault in finding.faults] == []
    assert {finding.undecided for finding in findings} == {case.undecided}


def test_the_same_pairs_every_time(kernel: Kernel) -> None:
    score = run(kernel, SEED, PAIRS)
    assert score.pairs >= PAIRS
    assert score.undecided <= score.pairs / 100


def test_other_pairs_every_time(kernel: Kernel) -> None:
    run(kernel, SystemRandom().randrange(1 << 32), FRESH_PAIRS, SECONDS)


@pytest.mark.skipif(os.geteuid() != 0, reason="without root every test here is rootless")
def test_in_a_user_namespace() -> None:
    kernel = start_judge(rootless=True)
    run(kernel, SEED + 1, ROOTLESS_PAIRS, SECONDS)
    kernel.close()


def run(kernel: Kernel, seed: int, pairs: int, seconds: float = float("inf")) -> Score:
    score = Score()
    for score in run_campaign(kernel, Random(seed), pairs, seconds):  # noqa: B007  the last one is the result
        pass
    print(f"seed {seed}: {score}")
    told = [(finding.faults, finding.shot, firewall) for firewall, finding in score.disagreements[:3]]
    assert told == [], f"seed {seed}; shrink it with: make fuzz SEED={seed} PAIRS={pairs}"
    assert score.refused == []
    return score
