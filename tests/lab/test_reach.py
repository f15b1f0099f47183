"""A firewall read in part, held to the whole of it: same answers, one generation, no name that is an option."""

import json
import subprocess
import sys

import pytest

from tests.lab.test_collected_rulesets import INDEX

pytestmark = pytest.mark.lab


def run(*argv: str) -> str:
    begin = 'mount -t tmpfs tmpfs /run && ip link set lo up && exec "$0" "$@"'
    inside = ["unshare", "--net", "--mount", "sh", "-c", begin, sys.executable, "-m", *argv]
    done = subprocess.run(inside, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    return done.stdout


def test_random_firewalls_answer_alike_read_whole_and_in_part() -> None:
    assert "answers" in run("tests.lab.reach_trial", "random", "7", "15")


@pytest.mark.skipif(not INDEX.is_file(), reason="the collected rulesets are not beside this checkout")
def test_firewalls_of_real_machines_answer_alike_read_whole_and_in_part() -> None:
    assert "answers" in run("tests.lab.reach_trial", "collected", "900")


def test_what_a_live_look_does_with_a_large_firewall() -> None:
    found = json.loads(run("tests.lab.reach_live"))
    assert found["in_part"], found
    assert found["same"], found
    assert found["parts"] < 40, found
    assert found["sees_the_change"], found
    assert found["counts_again"] == 3, found
    assert found["stale"] is None, found
    assert found["generation_after_reading"] == found["generation_before_reading"], found
    assert found["hostile"] == {"-F": 1, "KUBE;flush": 1, "no such": 1}, found
    assert found["refused"] == ["--help", "", "rule"], found
